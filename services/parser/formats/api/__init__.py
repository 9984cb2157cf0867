"""What a file format is, and what it may use."""
