"""Writes validated batches into the target collections, each batch in one transaction."""
