"""Fault injection: a failing database, network, process or client, under load."""
