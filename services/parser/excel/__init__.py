"""The format ``excel``: workbooks are opened in a child process, which may fail without harm."""
