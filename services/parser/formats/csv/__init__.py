"""The format ``csv``: values separated by a delimiter, RFC 4180 and what people make of it."""
