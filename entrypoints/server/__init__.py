"""Everything that extends uvicorn: its HTTP parser, its shutdown and its workers."""
