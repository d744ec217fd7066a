"""The use cases, on the adapter in memory."""
