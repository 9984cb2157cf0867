"""What the requests service is told by its environment, beyond what every service is told."""

from enum import StrEnum

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.messaging.broker import MAX_MESSAGE_BYTES


class Trust(StrEnum):
    """By what it is known who may ask for which organization."""

    TOKEN = "token"  # noqa: S105 - the name of a setting
    """A token in a header, signed by a producer that the organization has registered."""
    BROKER = "broker"
    """The broker's ACLs: whoever may write to the topic may ask for every organization."""


class RequestSettings(BaseSettings):
    """Read from ``ROWDOCK_…``; the limits of uploads are those of the gateway.

    Attributes:
        requests_trust: ``token`` or ``broker``.
        request_max_rows: most rows in one message.
        request_max_bytes: most bytes of one message; what is larger could not be replayed from the dead letters.
        request_max_file_bytes: most bytes of a stored file that a request names.
        request_workers: requests that one process takes in at a time, of different partitions.
    """

    model_config = SettingsConfigDict(
        env_prefix="ROWDOCK_", extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    requests_trust: Trust = Trust.TOKEN
    request_max_rows: int = Field(default=1_000, ge=1, le=100_000)
    request_max_bytes: int = Field(default=192 * 1024, ge=1_024, le=MAX_MESSAGE_BYTES - 16 * 1024)
    request_max_file_bytes: int = Field(default=64 * 1024**2, ge=1)
    request_workers: int = Field(default=3, ge=1, le=6)
