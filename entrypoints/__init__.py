"""The ways in: the command line and HTTP, and the one place where everything is put together."""
