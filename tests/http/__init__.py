"""The HTTP API: both contracts, FastAPI's features, errors, CORS, OpenAPI."""
