"""What a batch does to its target collection, without touching it."""
