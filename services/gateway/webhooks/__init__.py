"""Receivers of webhooks: made, changed, switched off."""
