"""The two contracts over HTTP."""
