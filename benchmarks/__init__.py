"""Benchmarks: CPU per request, throughput and latency, compared with other servers on the same database."""
