"""Settings of the parser."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.contracts.templates import Template


class ParserSettings(BaseSettings):
    """Read from ``ROWDOCK_…``.

    Attributes:
        small_places: small files that one process reads side by side.
        large_places: large files that one process reads side by side.
        batch_rows: most rows of a batch.
        keyed_batch_rows: most rows of a batch in modes that find records by their key; a writer holds those, too.
        batch_bytes: most cell bytes of a batch.
        parse_lease_seconds: a parser silent for this long is believed dead.
        max_attempts: attempts at a file or batch that ended without a result before its run fails.
    """

    model_config = SettingsConfigDict(env_prefix="ROWDOCK_", extra="ignore")

    small_places: int = Field(default=4, ge=1, le=16)
    large_places: int = Field(default=3, ge=1, le=16)
    batch_rows: int = Field(default=10_000, ge=1, le=50_000)
    keyed_batch_rows: int = Field(default=5_000, ge=1, le=50_000)
    batch_bytes: int = Field(default=4 * 1024 * 1024, ge=1_024, le=8 * 1024 * 1024)
    parse_lease_seconds: float = Field(default=15, gt=0)
    max_attempts: int = Field(default=10, ge=1)

    def rows_of_a_batch(self, template: Template) -> int:
        """Most rows of a batch of a template's run."""
        return min(self.batch_rows, self.keyed_batch_rows) if template.matches_by_key else self.batch_rows
