"""The format ``json``: RFC 8259, and JSON lines."""
