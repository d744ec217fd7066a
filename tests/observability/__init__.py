"""Metrics as Prometheus scrapes them, traces as a collector receives them."""
