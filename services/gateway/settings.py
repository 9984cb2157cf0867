"""What the gateway is told by its environment, beyond what every service is told."""

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from standardwebhooks import Webhook

from libs.contracts.plans import Plan
from libs.egress.rules import IPNetwork
from libs.storage.sealing import SecretKeys, SecretKeysText
from services.gateway.access.principal import ALL_SCOPES, Scope
from services.gateway.access.rates import Rates

GIB = 1024**3


class GatewaySettings(BaseSettings):
    """Read from ``ROWDOCK_…``; ``FILE_IMPORT_MAX_ERRORS`` keeps the name that it has in the import engine.

    Attributes:
        port: where clients are served.
        secret_key: Fernet key that encrypts secrets of webhooks, credentials of sources and remembered answers at rest;
            the same for gateway, webhooks and pollers of sources. Several separated by commas while it is rotated: the
            first encrypts, each decrypts.
        max_upload_bytes: size limit of one file, in bytes.
        large_file_bytes: files from this size on queue in the lane of large files, in bytes.
        wait_seconds: how long upload, execute and cancel wait for a finished result before they answer 202.
        drain_seconds: how long it goes on serving, unready, once it is told to stop.
        max_concurrent_uploads: files that stream in at the same time; an organization gets a slot while it has fewer
            than are free, so half of them if it is alone. Further ones wait for their turn.
        max_waiting_uploads: how many of one organization may wait; more get 429 at once.
        upload_queue_seconds: how long an upload waits for its turn before it is refused.
        max_concurrent_requests: requests at work at once, shared in the same way; more get 429 or 503.
        max_concurrent_dry_runs: files that are tried at once, shared in the same way; more get 429 or 503.
        max_concurrent_row_readers: pages of rows that are made at the same time, and as many downloads of rows, shared
            in the same way; further ones wait as uploads do.
        max_active_runs: runs of one organization that have not ended, those that wait to be executed among them; more
            get 429. 0 for any number, as for the next two.
        max_queued_bytes: bytes of the files of those; more get 429.
        max_stored_bytes: bytes of all files that are kept for one organization; more get 507 until older files are
            removed.
        upload_idle_seconds: an upload that sends nothing for this long, or that has fallen so far behind
            ``upload_bytes_per_second``, is given up.
        upload_bytes_per_second: slowest upload; 0 for any. Time in which it waits for the gateway does not count.
        body_seconds: how long the body of any other request may take to arrive.
        header_seconds: how long the headers of a request may take, from the beginning of the connection.
        keep_alive_seconds: how long a connection may be idle between two requests; more than a proxy in front keeps it.
        send_seconds: an answer of which the client takes less than 1 KiB a second for this long is given up.
        max_connections: connections at once, below the limit of open files; 0 for any number. The operators' port has
            its own.
        max_connections_per_address: connections at once from one IPv4 address or IPv6 network of 64 bits; 0 for any
            number, for where clients come through a proxy and so all have its address.
        max_listeners: streams of progress at once in one process, of all organizations.
        max_listeners_per_organization: of these, most of one organization.
        progress_seconds: between two looks at a run that is followed; up to five times as long while nothing moves.
        heartbeat_seconds: a stream of progress sends something at least this often.
        listener_check_seconds: how often it is looked whether the keys of those who follow imports still work.
        max_listen_seconds: how long a stream of progress is at most; its client then opens another.
        observe_seconds: between two counts over the whole state, which one of all gateways makes for the metrics.
        max_errors: most errors that a run lists; all of them are checked, counted and kept.
        dry_run_max_bytes: size limit of a file that is only tried, in bytes.
        dry_run_wait_seconds: how long the check of such a file may take before it is given up.
        max_templates: most templates of an organization.
        max_resources: most target resources that its templates name or its records are in.
        max_keys_per_resource: most keys (upsert keys, combinations that are unique in the target) that the templates of
            an organization ask for in one resource.
        key_wait_seconds: how long the client that saves a template waits until its records are compared; then 503, and
            it goes on.
        orphan_after_seconds: age at which a file without a run counts as left behind by a crash; longer than any upload
            takes.
        keep_files_days: how long the file of a run is kept after the run has ended.
        keep_runs_days: how long an ended run is kept, with its rejected rows, before-images and webhook deliveries.
        keep_dead_letters_days: how long a message that nobody could handle is kept.
        keep_idempotency_keys_hours: how long an Idempotency-Key is remembered with its answer.
        retention_sweep_seconds: how often what was kept long enough is looked for.
        webhook_allowed_networks: networks, separated by commas, that webhooks may reach although they are not public,
            also over plain http.
        sources_directory: below which each organization has a folder, named by its id, whose files its sources may
            take; no watched directories without it.
        source_allowed_networks: networks, separated by commas, of SFTP servers that may be reached although they are
            not public.
        source_looks: sources that one poller looks at at the same time; an organization has half of what is free.
        source_files_a_look: files of a source that are taken in one look, before others have their turn.
        max_source_entries: most entries of a source's directories; more of them are a fault of the source.
        rate_limits: requests that a key may make in a minute, ``reads/writes`` by plan, such as
            ``free=100/30,starter=1000/300``; 0 for any number, and as documented for plans that it does not name.
        strangers_per_minute: requests of one IPv4 address or IPv6 network of 64 bits in a minute that show no key or
            none that works, at each process; 0 for any number.
        trusted_proxies: networks, separated by commas, of proxies whose ``X-Forwarded-For`` is believed about the
            address of a client. Set it behind a proxy: without, all clients have its address.
        cors_origins: origins, separated by commas, whose pages may use the gateway from a browser, such as
            ``https://app.example.com``; ``*`` for any. None without it.
        clerk_issuer: address of Clerk's frontend interface (``iss``), such as ``https://clerk.example.com``; without it
            no session tokens are let in.
        clerk_jwks_url: where its keys are, by default below ``clerk_issuer``.
        clerk_authorized_parties: origins, separated by commas, for which session tokens may have been made.
        clerk_roles: scopes of each role in an organization; any other role may do nothing.
        clerk_webhook_secrets: what Clerk's webhook is signed with, several separated by commas while they are rotated;
            the address is not there without.
    """

    model_config = SettingsConfigDict(
        env_prefix="ROWDOCK_", extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    port: int = Field(default=8000, ge=1, le=65_535)
    secret_key: SecretKeysText
    max_upload_bytes: int = Field(default=2 * GIB, ge=1)
    large_file_bytes: int = Field(default=1024**2, ge=1)
    wait_seconds: float = Field(default=20, ge=0, le=300)
    drain_seconds: float = Field(default=0, ge=0, le=60)
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
    max_listeners: int = Field(default=5_000, ge=0)
    max_listeners_per_organization: int = Field(default=2_000, ge=0)
    progress_seconds: float = Field(default=1, gt=0, le=60)
    heartbeat_seconds: float = Field(default=15, gt=0, le=60)
    listener_check_seconds: float = Field(default=5, gt=0, le=60)
    max_listen_seconds: float = Field(default=900, gt=0)
    observe_seconds: float = Field(default=10, gt=0, le=300)
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
    keep_idempotency_keys_hours: float = Field(default=24, gt=0, le=8_760)
    retention_sweep_seconds: float = Field(default=60, gt=0)
    webhook_allowed_networks: Annotated[tuple[IPNetwork, ...], NoDecode] = ()
    sources_directory: Path | None = None
    source_allowed_networks: Annotated[tuple[IPNetwork, ...], NoDecode] = ()
    source_looks: int = Field(default=8, ge=1, le=1_000)
    source_files_a_look: int = Field(default=100, ge=1, le=1_000)
    max_source_entries: int = Field(default=100_000, ge=1, le=10_000_000)
    rate_limits: Annotated[Mapping[Plan, Rates], NoDecode] = Field(default_factory=dict[Plan, Rates])
    strangers_per_minute: int = Field(default=100, ge=0)
    trusted_proxies: Annotated[tuple[IPNetwork, ...], NoDecode] = ()
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    clerk_issuer: str | None = None
    clerk_jwks_url: str | None = None
    clerk_authorized_parties: Annotated[tuple[str, ...], NoDecode] = ()
    clerk_roles: Annotated[Mapping[str, frozenset[Scope]], NoDecode] = Field(
        default_factory=lambda: {"admin": ALL_SCOPES, "member": frozenset({Scope.READ, Scope.WRITE})}
    )
    clerk_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()

    @property
    def secret_keys(self) -> SecretKeys:
        """``secret_key``, to be used."""
        return SecretKeys(self.secret_key.get_secret_value())

    @field_validator("clerk_roles", mode="before")
    @classmethod
    def _by_role(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        roles = dict[str, list[str]]()
        for part in _parts(value):
            role, separator, scopes = part.partition("=")
            if not separator:
                raise ValueError(f"{part!r} is no role with its scopes; write it like member=read+write")
            roles[role.strip()] = [scope.strip() for scope in scopes.split("+")]
        return roles

    @field_validator("clerk_roles")
    @classmethod
    def _give_nothing_of_others(cls, value: Mapping[str, frozenset[Scope]]) -> Mapping[str, frozenset[Scope]]:
        if any(Scope.OPERATOR in scopes for scopes in value.values()):
            raise ValueError("the scope 'operator' is for API keys of operators, not for roles in organizations")
        return value

    @field_validator("clerk_authorized_parties", "clerk_webhook_secrets", "cors_origins", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return _parts(value) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not _is_origin(origin):
                raise ValueError(
                    f"{origin!r} is no origin; write scheme, host and perhaps port: https://app.example.com"
                )
        return value

    @field_validator("clerk_webhook_secrets")
    @classmethod
    def _are_secrets(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in value:
            if not secret.get_secret_value().startswith("whsec_"):
                raise ValueError("a signing secret of Clerk's webhooks starts with whsec_")
            Webhook(secret.get_secret_value())
        return value

    @model_validator(mode="after")
    def _says_for_whom_tokens_are(self) -> Self:
        if self.clerk_issuer is not None and not self.clerk_authorized_parties:
            raise ValueError("with ROWDOCK_CLERK_ISSUER say also ROWDOCK_CLERK_AUTHORIZED_PARTIES")
        return self

    @field_validator("rate_limits", mode="before")
    @classmethod
    def _by_plan(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        limits = dict[str, Rates]()
        for part in _parts(value):
            plan, _, rates = part.partition("=")
            reads, _, writes = rates.partition("/")
            if not (reads.isascii() and reads.isdecimal() and writes.isascii() and writes.isdecimal()):
                raise ValueError(f"{part!r} is no limit of a plan; write it like free=100/30")
            limits[plan] = Rates(int(reads), int(writes))
        return limits

    @field_validator("sources_directory", mode="before")
    @classmethod
    def _nowhere_where_empty(cls, value: object) -> object:
        return value or None

    @field_validator("webhook_allowed_networks", "source_allowed_networks", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(map(ip_network, _parts(value)))


def _is_origin(text: str) -> bool:
    """Whether browsers would send it so: in small letters, without a path, and without the port that goes without
    saying."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    usual = {"http": 80, "https": 443}
    return (
        parts.scheme in usual
        and bool(parts.hostname)
        and "@" not in parts.netloc
        and "*" not in parts.netloc
        and port != usual[parts.scheme]
        and text == f"{parts.scheme}://{parts.netloc.lower()}"
    )


def _parts(text: str) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
