"""The command `todo`, as its users run it."""
