"""The documented interfaces, held against a real stack: each test quotes the part of its reference that it holds."""
