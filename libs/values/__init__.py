"""What texts mean as values, for the parser that decides it for a column and the validator that reads its rows."""
