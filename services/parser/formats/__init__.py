"""File formats: one room each, and in ``api`` what all of them are and may use."""
