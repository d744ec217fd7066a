"""The HTTP contracts, a file each."""
