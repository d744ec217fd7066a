"""Logs, Prometheus metrics (aggregated across workers) and OpenTelemetry traces."""

METRICS_FOLDER = "TODO_METRICS_FOLDER"
"""Environment variable that names the folder of the workers' metrics sockets. Set where metrics are enabled."""
