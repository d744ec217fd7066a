"""The program as its users start and stop it."""
