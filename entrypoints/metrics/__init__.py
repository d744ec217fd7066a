"""What Prometheus is told: counted in each process that serves, and exposed by the one that started them."""

FOLDER = "TODO_METRICS_FOLDER"
"""The environment variable that tells the processes where their sockets belong. It is set where metrics are wanted."""
