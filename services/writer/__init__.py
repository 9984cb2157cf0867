"""Writer: validated batches in, records of the target collection out, each batch in one transaction."""
