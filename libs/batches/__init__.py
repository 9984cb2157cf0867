"""What parser, validator and writer hand to one another: the rows of a batch as columns, and the rejected rows."""
