"""Webhooks: sends the events of a run, signed, to the receiver of its template, and repeats that until it answers."""
