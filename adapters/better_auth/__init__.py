"""Better Auth: verifies its tokens, and caches its key set."""
