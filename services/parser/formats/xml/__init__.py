"""The format ``xml``: a document whose root has the rows as children."""
