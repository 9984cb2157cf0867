"""Rowdock on one machine, with the real servers and nothing but Python: ``python -m deploy.local up``."""
