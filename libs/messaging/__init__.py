"""Kafka as the engine that spreads the work: broker, consumers, the one error policy, outbox relay, service app."""
