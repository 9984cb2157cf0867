"""File formats: what a file's first bytes say it is, and which formats there are."""
