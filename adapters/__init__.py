"""The outside world behind the application's ports: one file for each outside thing."""
