"""How Kafka is reached: the one set of connection settings for every client, and why a broker refuses."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Literal, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaError
from faststream.kafka.security import parse_security
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512
from pydantic import Field, FilePath, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.contracts.errors import TransientError

REQUEST_TIMEOUT_MS = 10_000

_BY_MECHANISM = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}


class KafkaSettings(BaseSettings):
    """Read from ``ROWDOCK_KAFKA`` and ``ROWDOCK_KAFKA_…``; an empty variable counts as absent.

    Attributes:
        kafka: ``host:port`` of one or more brokers, separated by commas.
        kafka_security_protocol: what the brokers ask for: ``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``.
        kafka_sasl_mechanism: how a client logs in with ``SASL_…``.
        kafka_username: user for it.
        kafka_password: password of that user.
        kafka_ca_file: PEM file of the authorities that may have signed the brokers' certificates, with ``…SSL``; by
            default those of the system.
        kafka_cert_file: PEM file of a certificate by which a client logs in.
        kafka_key_file: PEM file of its key.
        kafka_key_password: password of the key, where it is encrypted.
        replication_factor: copies that are kept of a topic; by default as many as the brokers give to a new one.
    """

    model_config = SettingsConfigDict(
        env_prefix="ROWDOCK_", extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    kafka: str
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    kafka_username: str | None = None
    kafka_password: SecretStr | None = None
    kafka_ca_file: FilePath | None = None
    kafka_cert_file: FilePath | None = None
    kafka_key_file: FilePath | None = None
    kafka_key_password: SecretStr | None = None
    replication_factor: int | None = Field(default=None, ge=1, le=15)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        protocol = f"ROWDOCK_KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol}"
        login = ("kafka_sasl_mechanism", "kafka_username", "kafka_password")
        tls = ("kafka_ca_file", "kafka_cert_file", "kafka_key_file", "kafka_key_password")
        if self._uses_sasl and (missing := [name for name in login if getattr(self, name) is None]):
            raise ValueError(f"{protocol} needs {_variables(missing)} too")
        if not self._uses_sasl and (given := [name for name in login if getattr(self, name) is not None]):
            raise ValueError(f"{_variables(given)} need SASL_SSL or SASL_PLAINTEXT, but {protocol}")
        if not self._uses_tls and (given := [name for name in tls if getattr(self, name) is not None]):
            raise ValueError(f"{_variables(given)} need SSL or SASL_SSL, but {protocol}")
        if (self.kafka_cert_file is None) != (self.kafka_key_file is None):
            raise ValueError("ROWDOCK_KAFKA_CERT_FILE and ROWDOCK_KAFKA_KEY_FILE belong together: give both or neither")
        if self.kafka_key_password is not None and self.kafka_key_file is None:
            raise ValueError("ROWDOCK_KAFKA_KEY_PASSWORD needs ROWDOCK_KAFKA_KEY_FILE")
        self._tls_context()
        return self

    @property
    def security(self) -> BaseSecurity:
        """The same for FastStream; certificates are read anew each time, so that renewed ones are used."""
        context = self._tls_context()
        if self.kafka_sasl_mechanism is None or self.kafka_username is None or self.kafka_password is None:
            return BaseSecurity(ssl_context=context)
        return _BY_MECHANISM[self.kafka_sasl_mechanism](
            self.kafka_username, self.kafka_password.get_secret_value(), ssl_context=context
        )

    def client_options(self) -> dict[str, Any]:
        """The same for aiokafka's own clients, as keyword arguments; they hold the password."""
        return {"bootstrap_servers": self.kafka.split(","), **parse_security(self.security)}

    @property
    def _uses_sasl(self) -> bool:
        return self.kafka_security_protocol.startswith("SASL_")

    @property
    def _uses_tls(self) -> bool:
        return self.kafka_security_protocol.endswith("SSL")

    def _tls_context(self) -> ssl.SSLContext | None:
        if not self._uses_tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.kafka_ca_file)
        except OSError as error:
            raise ValueError(f"ROWDOCK_KAFKA_CA_FILE: no certificates in PEM can be read: {error}") from error
        if self.kafka_cert_file is not None:
            # Without a password OpenSSL would ask for one on the terminal.
            password = "" if self.kafka_key_password is None else self.kafka_key_password.get_secret_value()
            try:
                context.load_cert_chain(self.kafka_cert_file, self.kafka_key_file, password)
            except OSError as error:
                raise ValueError(
                    "ROWDOCK_KAFKA_CERT_FILE, ROWDOCK_KAFKA_KEY_FILE: no certificate and its key in PEM can be read; "
                    f"an encrypted key needs the right ROWDOCK_KAFKA_KEY_PASSWORD: {error}"
                ) from error
        return context


def _variables(names: list[str]) -> str:
    return ", ".join(f"ROWDOCK_{name.upper()}" for name in names)


@asynccontextmanager
async def open_admin(settings: KafkaSettings) -> AsyncGenerator[AIOKafkaAdminClient]:
    """A connected admin client for the length of a block.

    Raises:
        TransientError: no broker can be reached, or none lets the client in; the message says which and why. Also
            where Kafka does not answer within the block.
    """
    admin = AIOKafkaAdminClient(**settings.client_options(), request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        try:
            await _start(admin)
        except (KafkaError, OSError) as error:
            protocol = f"ROWDOCK_KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol}"
            reasons = await _refusals(settings) or error
            raise TransientError(f"Kafka cannot be reached with {protocol}: {reasons}") from error
        yield admin
    except (KafkaError, OSError) as error:
        raise TransientError(f"Kafka at {settings.kafka}: {type(error).__name__}: {error}") from error
    finally:
        await admin.close()


@asynccontextmanager
async def open_reader(settings: KafkaSettings) -> AsyncGenerator[AIOKafkaConsumer]:
    """A connected consumer without a group for the length of a block, to ask for offsets.

    Raises:
        aiokafka.errors.KafkaError: no broker can be reached.
    """
    reader = AIOKafkaConsumer(**settings.client_options(), request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await _start(reader)
        yield reader
    finally:
        await reader.stop()


async def _start(client: AIOKafkaAdminClient | AIOKafkaConsumer) -> None:
    """Start ``client``; where this is cancelled, only once the start is over: aiokafka would leave its first connection
    open, which nobody else knows."""
    starting = asyncio.create_task(client.start())
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait([starting])
        raise


async def _refusals(settings: KafkaSettings) -> str:
    """What each address answers to a connection; aiokafka's clients only log it."""
    options = settings.client_options()
    reasons: list[str] = []
    for host, port, _ in collect_hosts(options.pop("bootstrap_servers"), randomize=False):
        try:
            connection = await create_conn(host, port, request_timeout_ms=REQUEST_TIMEOUT_MS, **options)
        except (KafkaError, OSError, TimeoutError) as error:
            reasons.append(f"{host}:{port}: {str(error) or type(error).__name__}")
        else:
            connection.close()
    return "; ".join(reasons)
