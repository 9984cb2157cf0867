"""Endpoints that hear of events, and what was sent to them: the same in every vocabulary."""
