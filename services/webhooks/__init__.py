"""Webhooks: tells a template's receiver, signed and until it answers, how its runs go."""
