"""What a task is and whose it is: rules and values in plain Python, with the standard library only."""
