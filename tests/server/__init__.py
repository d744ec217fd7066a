"""uvicorn as it is extended here, and what importing the product changes (nothing)."""
