"""Settings of the process that opens workbooks."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ExcelSettings(BaseSettings):
    """Read from ``ROWDOCK_EXCEL_…``.

    Attributes:
        memory_bytes: address space of the process; a sheet takes 100 bytes and more per cell.
        cpu_seconds: of the process.
        wait_seconds: how long the parser waits for it, all in all, while it has nothing else to do; then reading the
            file is tried again.
    """

    model_config = SettingsConfigDict(env_prefix="ROWDOCK_EXCEL_", extra="ignore")

    memory_bytes: int = Field(default=2 * 1024**3, ge=256 * 1024**2)
    cpu_seconds: int = Field(default=300, ge=1)
    wait_seconds: float = Field(default=600, gt=0)
