"""Settings of the writer."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class WriterSettings(BaseSettings):
    """Read from ``ROWDOCK_…``.

    Attributes:
        writer_transactions: batches that one process writes side by side in each lane.
        max_attempts: attempts at a file or batch that ended without a result before its run fails.
        sync_max_deleted_share: of the live records within the scope of a sync, from 0 to 1: so many may be deleted
            without being confirmed.
        sync_lease_seconds: a writer that looks up what a sync would delete and is silent for this long is believed
            dead.
    """

    model_config = SettingsConfigDict(env_prefix="ROWDOCK_", extra="ignore")

    writer_transactions: int = Field(default=2, ge=1, le=16)
    max_attempts: int = Field(default=10, ge=1)
    sync_max_deleted_share: float = Field(default=0.2, ge=0, le=1)
    sync_lease_seconds: float = Field(default=60, gt=0)
