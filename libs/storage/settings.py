"""Where MongoDB is."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class MongoSettings(BaseSettings):
    """Read from ``ROWDOCK_MONGODB``, ``ROWDOCK_DATABASE`` and ``ROWDOCK_TARGET_DATABASE``.

    Attributes:
        mongodb: connection string of a replica set; may hold a password, and says whether there is TLS (``tls``,
            ``tlsCAFile``, ``tlsCertificateKeyFile``).
        database: holds Rowdock's own state.
        target_database: holds the imported records, one collection per target resource.
    """

    model_config = SettingsConfigDict(env_prefix="ROWDOCK_", extra="ignore", hide_input_in_errors=True)

    mongodb: SecretStr
    database: str = Field(default="rowdock", pattern=r"^[A-Za-z0-9_-]{1,60}$")
    target_database: str = Field(default="rowdock_data", pattern=r"^[A-Za-z0-9_-]{1,60}$")
