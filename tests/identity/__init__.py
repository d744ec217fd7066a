"""Whom a token speaks for."""
