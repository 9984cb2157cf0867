"""The vocabulary of Rowporter: templates, imports and branding."""
