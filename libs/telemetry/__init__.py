"""Structured logs and the metrics registry of a service process."""
