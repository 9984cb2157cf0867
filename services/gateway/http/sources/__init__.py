"""Sources: files that arrive by themselves."""
