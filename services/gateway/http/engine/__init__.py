"""The vocabulary of the import engine: ``/imports``."""
