"""ASGI middleware, outermost first: request log, tracing, CORS, errors, authentication, body limit, HEAD."""
