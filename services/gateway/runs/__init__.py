"""Runs: shown, listed, executed, cancelled; and dry runs."""
