"""The gateway: HTTP in, templates and runs in MongoDB, events through the outbox."""
