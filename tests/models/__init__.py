"""Imports against a model of them in plain Python, written from the documents alone."""
