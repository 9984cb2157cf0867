"""Rejected rows of runs."""
