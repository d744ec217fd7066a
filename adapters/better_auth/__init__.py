"""Better Auth: who is calling, by its JWTs and its key set."""
