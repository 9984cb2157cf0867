"""Trying the image without an engine."""
