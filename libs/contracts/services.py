"""Names of the services, as they stand in logs, metrics, consumer groups and the outbox."""

from typing import Final

SERVICES: Final = ("gateway", "parser", "validator", "writer", "webhooks", "requests")
"""Those that every installation runs."""
OPTIONAL_SERVICES: Final = ("sources",)
"""Those that run where somebody needs them."""
GROUP_PREFIX: Final = "rowdock."
"""With this begin the names of all consumer groups of Rowdock's own."""


def group_of(service: str, topic: str) -> str:
    """Name of the consumer group that all processes of a service form for a topic."""
    return f"{GROUP_PREFIX}{service}.{topic}"
