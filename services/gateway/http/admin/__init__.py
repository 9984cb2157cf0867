"""The organization itself: its API keys. Names and errors as in the import engine."""
