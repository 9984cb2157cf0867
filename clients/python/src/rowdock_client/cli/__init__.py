"""The command line ``rowdock``."""
