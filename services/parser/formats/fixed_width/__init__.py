"""The format ``fixed_width``: lines whose columns have fixed widths."""
