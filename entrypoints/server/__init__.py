"""What runs the application in a process: its factory, and everything that extends uvicorn. Patched on use only."""
