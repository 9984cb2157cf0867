"""Imports that internal producers ask for on Kafka: a vocabulary beside those of HTTP, in a process of its own."""
