"""The child process that opens workbooks, which may fail without harm, and its parent's side."""
