"""The format ``excel``: .xlsx, .xlsm, .xls and .ods."""
