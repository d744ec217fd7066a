"""Logs, Prometheus metrics (aggregated across workers) and OpenTelemetry traces."""
