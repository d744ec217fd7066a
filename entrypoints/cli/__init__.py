"""The command `todo`."""
