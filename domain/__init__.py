"""What a task is and who owns it: rules and values in plain Python, on the standard library alone."""
