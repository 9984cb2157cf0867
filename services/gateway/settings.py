"""What the gateway is told by its environment, beyond what every service is told."""

from ipaddress import ip_network
from typing import Annotated

from cryptography.fernet import Fernet
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from libs.egress.rules import IPNetwork

GIB = 1024**3


class GatewaySettings(BaseSettings):
    """Read from ``ROWDOCK_…``; ``FILE_IMPORT_MAX_ERRORS`` keeps the name that it has in the import engine.

    Attributes:
        port: where clients are served.
        secret_key: Fernet key that encrypts webhook secrets at rest; the same for gateway and webhooks.
        max_upload_bytes: size limit of one file, in bytes.
        large_file_bytes: files from this size on queue in the lane of large files, in bytes.
        wait_seconds: how long upload, execute and cancel wait for a finished result before they answer 202.
        max_concurrent_uploads: files that stream in at the same time; an organization gets a slot while it has fewer
            than are free, so half of them if it is alone. Further ones wait for their turn.
        max_waiting_uploads: how many of one organization may wait for it.
        upload_queue_seconds: how long an upload waits for its turn before it is refused.
        max_concurrent_requests: requests at work at the same time, shared in the same way.
        max_concurrent_dry_runs: files that are tried at the same time, shared in the same way.
        max_concurrent_row_readers: pages of rows that are made at the same time, and as many downloads of rows, shared
            in the same way; further ones wait as uploads do.
        max_active_runs: runs of one organization that have not ended; 0 for any number, as for the next two.
        max_queued_bytes: bytes of the files of those.
        max_stored_bytes: bytes of all files that are kept for one organization.
        upload_idle_seconds: an upload that sends nothing for this long, or that has fallen so far behind
            ``upload_bytes_per_second``, is given up.
        upload_bytes_per_second: slowest upload; only the time that is spent waiting for its bytes counts.
        body_seconds: how long the body of any other request may take to arrive.
        header_seconds: how long the headers of a request may take, from the beginning of the connection.
        keep_alive_seconds: how long a connection may be idle between two requests.
        send_seconds: an answer of which the client takes less than 1 KiB a second for this long is given up.
        max_connections: connections at once; 0 for any number.
        max_connections_per_address: connections at once from one IPv4 address or IPv6 network of 64 bits; 0 for any
            number, for where clients come through a proxy and so all have its address.
        max_errors: most errors that a run lists; all of them are checked, counted and kept.
        dry_run_max_bytes: size limit of a file that is only tried, in bytes.
        dry_run_wait_seconds: how long the check of such a file may take before it is given up.
        max_templates: most templates of an organization.
        max_resources: most target resources of an organization.
        max_keys_per_resource: most keys (upsert keys, combinations that are unique in the target) that the templates of
            an organization ask for in one resource.
        key_wait_seconds: how long the client that saves a template waits until its records are compared.
        orphan_after_seconds: age at which a file without a run counts as left behind by a crash; longer than any
            upload takes.
        keep_files_days: how long the file of a run is kept after the run has ended.
        keep_runs_days: how long an ended run is kept, with its rejected rows, before-images and webhook deliveries.
        keep_dead_letters_days: how long a message that nobody could handle is kept.
        retention_sweep_seconds: how often what was kept long enough is looked for.
        webhook_allowed_networks: networks, separated by commas, that webhooks may reach although they are
            not public, also over plain http.
    """

    model_config = SettingsConfigDict(
        env_prefix="ROWDOCK_", extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    port: int = Field(default=8000, ge=1, le=65_535)
    secret_key: SecretStr
    max_upload_bytes: int = Field(default=2 * GIB, ge=1)
    large_file_bytes: int = Field(default=1024**2, ge=1)
    wait_seconds: float = Field(default=20, ge=0, le=300)
    max_concurrent_uploads: int = Field(default=8, ge=1, le=1_000)
    max_waiting_uploads: int = Field(default=100, ge=0)
    upload_queue_seconds: float = Field(default=30, gt=0)
    upload_idle_seconds: float = Field(default=30, gt=0)
    max_concurrent_requests: int = Field(default=400, ge=1)
    max_concurrent_dry_runs: int = Field(default=16, ge=1)
    max_concurrent_row_readers: int = Field(default=16, ge=1)
    max_active_runs: int = Field(default=1_000, ge=0)
    max_queued_bytes: int = Field(default=20 * GIB, ge=0)
    max_stored_bytes: int = Field(default=200 * GIB, ge=0)
    upload_bytes_per_second: int = Field(default=1024, ge=0)
    body_seconds: float = Field(default=30, gt=0)
    header_seconds: float = Field(default=10, gt=0)
    keep_alive_seconds: float = Field(default=5, gt=0)
    send_seconds: float = Field(default=30, gt=0)
    max_connections: int = Field(default=8_000, ge=0)
    max_connections_per_address: int = Field(default=1_000, ge=0)
    max_errors: int = Field(default=1_000, ge=0, le=100_000, validation_alias="FILE_IMPORT_MAX_ERRORS")
    dry_run_max_bytes: int = Field(default=64 * 1024**2, ge=1)
    dry_run_wait_seconds: float = Field(default=60, gt=0, le=300)
    max_templates: int = Field(default=5_000, ge=1, le=100_000)
    max_resources: int = Field(default=1_000, ge=1, le=10_000)
    max_keys_per_resource: int = Field(default=32, ge=1, le=1_000)
    key_wait_seconds: float = Field(default=20, gt=0, le=300)
    orphan_after_seconds: float = Field(default=86_400, gt=0)
    keep_files_days: float = Field(default=30, gt=0, le=36_500)
    keep_runs_days: float = Field(default=365, gt=0, le=36_500)
    keep_dead_letters_days: float = Field(default=365, gt=0, le=36_500)
    retention_sweep_seconds: float = Field(default=60, gt=0)
    webhook_allowed_networks: Annotated[tuple[IPNetwork, ...], NoDecode] = ()

    @field_validator("secret_key")
    @classmethod
    def _is_fernet_key(cls, value: SecretStr) -> SecretStr:
        Fernet(value.get_secret_value())
        return value

    @field_validator("webhook_allowed_networks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
