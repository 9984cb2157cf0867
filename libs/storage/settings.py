"""Where MongoDB is."""

from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_OF_THE_SERVER = frozenset({"admin", "local", "config"})


class MongoSettings(BaseSettings):
    """Read from ``ROWDOCK_MONGODB``, ``ROWDOCK_DATABASE`` and ``ROWDOCK_TARGET_DATABASE``.

    Attributes:
        mongodb: connection string of a replica set; may hold a password, and says whether there is TLS (``tls``,
            ``tlsCAFile``, ``tlsCertificateKeyFile``).
        database: holds Rowdock's own state.
        target_database: holds the imported records, one collection per target resource; never the same, or a template
            could name a collection of Rowdock's own.
    """

    model_config = SettingsConfigDict(env_prefix="ROWDOCK_", extra="ignore", hide_input_in_errors=True)

    mongodb: SecretStr
    database: str = Field(default="rowdock", pattern=r"^[A-Za-z0-9_-]{1,60}$")
    target_database: str = Field(default="rowdock_data", pattern=r"^[A-Za-z0-9_-]{1,60}$")

    @field_validator("database", "target_database")
    @classmethod
    def _is_no_database_of_the_server(cls, value: str) -> str:
        if value.lower() in _OF_THE_SERVER:
            raise ValueError("MongoDB keeps its own state there; name another database")
        return value

    @model_validator(mode="after")
    def _are_two_databases(self) -> Self:
        # MongoDB refuses two databases whose names differ in case alone.
        if self.database.lower() == self.target_database.lower():
            raise ValueError(
                "ROWDOCK_DATABASE and ROWDOCK_TARGET_DATABASE must be two databases: with one, an import could write "
                "into Rowdock's own collections; name another ROWDOCK_TARGET_DATABASE and move the records there"
            )
        return self
