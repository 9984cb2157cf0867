"""Settings of the writer."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class WriterSettings(BaseSettings):
    """Read from ``ROWDOCK_…``.

    Attributes:
        writer_transactions: batches that one process writes side by side in each lane.
        max_attempts: attempts at one batch that ended without a result before its run fails.
    """

    model_config = SettingsConfigDict(env_prefix="ROWDOCK_", extra="ignore")

    writer_transactions: int = Field(default=2, ge=1, le=16)
    max_attempts: int = Field(default=10, ge=1)
