"""The use cases, on the in-memory repository."""
