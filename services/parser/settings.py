"""Settings of the parser."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ParserSettings(BaseSettings):
    """Read from ``ROWDOCK_…``.

    Attributes:
        small_places: small files that one process reads side by side.
        large_places: large files that one process reads side by side.
        batch_rows: most rows of a batch.
        batch_bytes: most cell bytes of a batch.
        parse_lease_seconds: a parser silent for this long is believed dead.
        max_attempts: attempts at a file or batch that ended without a result before its run fails.
    """

    model_config = SettingsConfigDict(env_prefix="ROWDOCK_", extra="ignore")

    small_places: int = Field(default=4, ge=1, le=16)
    large_places: int = Field(default=3, ge=1, le=16)
    batch_rows: int = Field(default=5_000, ge=1, le=50_000)
    batch_bytes: int = Field(default=4 * 1024 * 1024, ge=1_024, le=8 * 1024 * 1024)
    parse_lease_seconds: float = Field(default=15, gt=0)
    max_attempts: int = Field(default=10, ge=1)
