"""Requests of every kind that the description of the API allows or forbids, made up by schemathesis."""
