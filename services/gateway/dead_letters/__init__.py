"""Messages that nobody could handle, for operators."""
