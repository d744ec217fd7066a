"""Tasks in PostgreSQL: the repository, its SQL, and everything between it and the server."""
