"""Names of the services, as they stand in logs, metrics, consumer groups and the outbox."""

from typing import Final

SERVICES: Final = ("gateway", "parser", "validator", "writer", "webhooks", "requests")
"""Those that every installation runs."""
OPTIONAL_SERVICES: Final = ("sources",)
"""Those that run where somebody needs them."""
