"""Parser: a run's file in, batches of text cells out, the same batches at every attempt."""
