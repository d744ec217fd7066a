"""Verification of tokens, and the cached JWKS."""
