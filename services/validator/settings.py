"""Settings of the validator."""

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ValidatorSettings(BaseSettings):
    """Read from ``ROWDOCK_…``; ``FILE_IMPORT_PREVIEW_ROWS`` keeps its name from the import engine.

    Attributes:
        preview_rows: rows shown of a validated run.
        validator_batches: batches that one process checks side by side in each lane.
        max_attempts: attempts at a file or batch that ended without a result before its run fails.
        whole_file_check_lease_seconds: a worker at the check of a whole file that is silent for this long is believed
            dead.
    """

    model_config = SettingsConfigDict(env_prefix="ROWDOCK_", extra="ignore", populate_by_name=True)

    preview_rows: int = Field(default=10, ge=0, le=100, validation_alias="FILE_IMPORT_PREVIEW_ROWS")
    validator_batches: int = Field(default=2, ge=1, le=16)
    max_attempts: int = Field(default=10, ge=1)
    whole_file_check_lease_seconds: float = Field(
        default=60,
        gt=0,
        # The second is the name that it had in 0.1.
        validation_alias=AliasChoices("ROWDOCK_WHOLE_FILE_CHECK_LEASE_SECONDS", "ROWDOCK_BARRIER_LEASE_SECONDS"),
    )
