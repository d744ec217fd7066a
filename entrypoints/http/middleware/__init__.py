"""ASGI middleware, outermost first: request log, CORS, errors, authentication, body limit."""
