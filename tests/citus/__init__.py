"""Calls are sent to the shards of their owners: on simulated shards, and on a real Citus cluster."""
