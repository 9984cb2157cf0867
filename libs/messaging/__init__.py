"""Kafka as the engine that spreads the work: broker, topics, consumers and their one error policy, outbox relay."""
