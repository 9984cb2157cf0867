"""Validator: batches of text cells in, typed and rejected rows out; compares what no two rows of a file may share."""
