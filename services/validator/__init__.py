"""Validator: batches of text cells in, typed rows and rejected records out; asks the questions about the whole file."""
