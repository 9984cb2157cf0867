"""Servers that let nobody in who does not prove who they are: two Kafka brokers and a mongod, with TLS."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import trustme
from aiokafka import AIOKafkaProducer
from cryptography.hazmat.primitives import serialization
from pydantic import SecretStr
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from deploy.kafka_acls import open_acls
from deploy.kafka_rights import PROVISION, USERS, rights_of, user_of
from deploy.local.kafka import configure_kafka, format_kafka, kafka_program, new_cluster_id
from deploy.local.ports import choose_ports
from deploy.local.servers import REPLICA_SET, mongod_program
from deploy.local.stack import Commands, Stack, running
from deploy.local.supervision import Program, Supervisor
from deploy.local.waiting import wait_until
from deploy.mongodb_roles import LOGS_IN_AS, SERVICES, make_users, role_of
from libs.contracts.errors import TransientError
from libs.messaging.connection import KafkaSettings, open_admin
from libs.storage.client import connect
from libs.storage.settings import MongoSettings

USER, PASSWORD = "alice", "s3cret-of-alice"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority, what it gave to a server, what it gave to a client."""

    authority: Path
    server: Path
    client: Path

    @classmethod
    def issue(cls, directory: Path) -> "Certificates":
        """Certificates of a new authority; each file but the authority's holds its key, too."""
        directory.mkdir()
        authority = trustme.CA()
        files = cls(directory / "authority.pem", directory / "server.pem", directory / "client.pem")
        authority.cert_pem.write_to_path(files.authority)
        _write_with_key(files.server, authority.issue_cert("localhost", "127.0.0.1"))
        _write_with_key(files.client, authority.issue_cert("rowdock.example"))
        return files


@dataclass(frozen=True)
class SecuredKafka:
    """Two brokers, by what their listeners ask for.

    Attributes:
        login: asks for TLS, a user and a password.
        certificate: asks for TLS and a certificate.
        password_only: asks for a user and a password, without TLS.
    """

    certificates: Certificates
    login: str
    certificate: str
    password_only: str


@contextmanager
def secured_kafka(directory: Path) -> Iterator[SecuredKafka]:
    """Two brokers; a topic that does not say how many copies it wants gets two.

    ``USER`` logs in with ``PASSWORD``.
    """
    certificates = Certificates.issue(directory / "certificates")
    listeners = ("LOGIN", "CERTIFICATE", "PASSWORD", "PLAINTEXT")
    ports = choose_ports(directory / "ports.json", ["controller", *(f"{name}-{n}" for name in listeners for n in "12")])
    cluster = new_cluster_id()
    programs: list[Program] = []
    for node in "12":
        addresses = {name: f"127.0.0.1:{ports[f'{name}-{node}']}" for name in listeners}
        urls = ",".join(f"{name}://{address}" for name, address in addresses.items())
        changes = {**_properties(certificates), "node.id": node, "listeners": urls, "advertised.listeners": urls}
        if node == "1":
            changes["listeners"] += f",CONTROLLER://127.0.0.1:{ports['controller']}"
        else:
            changes["process.roles"] = "broker"
        home = directory / f"broker-{node}"
        home.mkdir()
        configure_kafka(home, ports[f"PLAINTEXT-{node}"], ports["controller"], changes)
        users = [f"{name}=[name={USER},password={PASSWORD}]" for name in MECHANISMS if name.startswith("SCRAM")]
        format_kafka(home, cluster, [part for user in users for part in ("--add-scram", user)])
        programs.append(replace(kafka_program(home), name=f"broker-{node}"))
    login, certificate, password, plaintext = (
        ",".join(f"127.0.0.1:{ports[f'{name}-{node}']}" for node in "12") for name in listeners
    )

    def complete() -> bool:
        async def known() -> int:
            async with open_admin(KafkaSettings(kafka=plaintext)) as admin:
                return len((await admin.describe_cluster())["brokers"])

        with suppress(TransientError):
            return asyncio.run(known()) == len(programs)
        return False

    with _running(directory, programs):
        wait_until(complete, "both brokers answer", seconds=60)
        yield SecuredKafka(certificates, login, certificate, password)


@contextmanager
def secured_mongod(directory: Path) -> Iterator[tuple[str, Certificates]]:
    """The URI of a replica set of one that asks for TLS and a client's certificate, without those; the certificates."""
    certificates = Certificates.issue(directory / "certificates")
    port = choose_ports(directory / "ports.json", ["mongod"])["mongod"]
    tls = ["--tlsMode", "requireTLS", "--tlsCAFile", str(certificates.authority)]
    program = mongod_program(directory, port)
    program = replace(program, command=[*program.command, *tls, "--tlsCertificateKeyFile", str(certificates.server)])
    options = {"tls": "true", "tlsCAFile": certificates.authority, "tlsCertificateKeyFile": certificates.client}
    direct = f"mongodb://127.0.0.1:{port}/?{urlencode({**options, 'directConnection': 'true'})}"
    member = {"_id": 0, "host": f"127.0.0.1:{port}"}

    def initiated() -> bool:
        with suppress(PyMongoError), MongoClient[dict[str, Any]](direct, serverSelectionTimeoutMS=500) as client:
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
            return True
        return False

    with _running(directory, [program]):
        wait_until(initiated, "replica set initiated", seconds=45)
        yield f"mongodb://127.0.0.1:{port}/?replicaSet={REPLICA_SET}", certificates


def _properties(certificates: Certificates) -> dict[str, str]:
    login = "org.apache.kafka.common.security"
    scram = f"{login}.scram.ScramLoginModule required;"
    plain = f'{login}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    protocols = "LOGIN:SASL_SSL,CERTIFICATE:SSL,PASSWORD:SASL_PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
    modules = {
        f"listener.name.{listener}.{mechanism.lower()}.sasl.jaas.config": plain if mechanism == "PLAIN" else scram
        for listener in ("login", "password")
        for mechanism in MECHANISMS
    }
    return {
        "listener.security.protocol.map": protocols,
        "sasl.enabled.mechanisms": ",".join(MECHANISMS),
        **modules,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.authority),
        "listener.name.certificate.ssl.client.auth": "required",
        "default.replication.factor": "2",
    }


def _write_with_key(file: Path, certificate: trustme.LeafCert) -> None:
    """Write certificate and key; the key in PKCS #8, the only form that Kafka reads."""
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), password=None)
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    file.write_bytes(pem + b"".join(part.bytes() for part in certificate.cert_chain_pems))


@contextmanager
def _running(directory: Path, programs: list[Program]) -> Iterator[None]:
    supervisor = Supervisor(directory)
    try:
        supervisor.launch(programs)
        supervisor.start(program.name for program in programs)
        yield
    finally:
        supervisor.shut_down()


@contextmanager
def authorized_mongod(directory: Path) -> Iterator[str]:
    """The connection string of an administrator of a replica set of one that lets in nobody without a password."""
    port = choose_ports(directory / "ports.json", ["mongod"])["mongod"]
    program = mongod_program(directory, port)
    key = directory / "keyfile"
    key.touch(mode=0o600)
    key.write_text("a2V5IG9mIHRoZSBtZW1iZXJzIG9mIHRoZSBzZXQ=")
    program = replace(program, command=[*program.command, "--auth", "--keyFile", str(key)])
    direct = f"mongodb://127.0.0.1:{port}/?directConnection=true"

    def initiated() -> bool:
        # Until there is a user, whoever is on the machine of the server may make the first.
        with suppress(PyMongoError), MongoClient[dict[str, Any]](direct, serverSelectionTimeoutMS=500) as client:
            members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
            with suppress(PyMongoError):
                client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
            client.admin.command("createUser", USER, pwd=PASSWORD, roles=["root"])
            return True
        return False

    with _running(directory, [program]):
        wait_until(initiated, "replica set initiated, first user made", seconds=60)
        yield f"mongodb://{USER}:{PASSWORD}@127.0.0.1:{port}/?replicaSet={REPLICA_SET}&authSource=admin"


@dataclass(frozen=True)
class AuthorizedKafka:
    """A broker with an authorizer, as that of ``docker-compose.yml``.

    Attributes:
        login: asks for TLS, a user and a password.
        open_door: asks for nothing, and whoever comes by it may do everything.
    """

    authority: Path
    login: str
    open_door: str

    def settings_of(self, user: str) -> KafkaSettings:
        """As which a user logs in."""
        variables = {**self.environment, **login_of(user)}
        return KafkaSettings.model_validate(
            {name.lower().removeprefix("rowdock_"): value for name, value in variables.items()}
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variables of every service."""
        return {
            "ROWDOCK_KAFKA": self.login,
            "ROWDOCK_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "ROWDOCK_KAFKA_SASL_MECHANISM": "PLAIN",
            "ROWDOCK_KAFKA_CA_FILE": str(self.authority),
        }


def login_of(user: str) -> dict[str, str]:
    """The variables of one service."""
    return {"ROWDOCK_KAFKA_USERNAME": user, "ROWDOCK_KAFKA_PASSWORD": f"s3cret-of-{user}"}


@contextmanager
def authorized_kafka(directory: Path, users: Sequence[str]) -> Iterator[AuthorizedKafka]:
    """A broker that lets in ``users`` and lets them do nothing that no ACL says, but ``rowdock-provision`` its part."""
    (home := directory / "broker").mkdir()
    certificates = Certificates.issue(directory / "certificates")
    ports = choose_ports(directory / "ports.json", ["LOGIN", "OPEN", "controller"])
    passwords = " ".join(f'user_{user}="{login_of(user)["ROWDOCK_KAFKA_PASSWORD"]}"' for user in users)
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    urls = ",".join(f"{name}://127.0.0.1:{ports[name]}" for name in ("LOGIN", "OPEN"))
    changes = {
        "listeners": f"{urls},CONTROLLER://127.0.0.1:{ports['controller']}",
        "advertised.listeners": urls,
        "listener.security.protocol.map": "LOGIN:SASL_SSL,OPEN:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "OPEN",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.login.plain.sasl.jaas.config": f"{module} required {passwords};",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.server),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    configure_kafka(home, ports["OPEN"], ports["controller"], changes)
    format_kafka(home)
    kafka = AuthorizedKafka(certificates.authority, f"127.0.0.1:{ports['LOGIN']}", f"127.0.0.1:{ports['OPEN']}")

    async def give() -> None:
        async with open_acls(KafkaSettings(kafka=kafka.open_door)) as acls:
            for right in rights_of(PROVISION):
                await acls.give(user_of(PROVISION), right)

    def given() -> bool:
        with suppress(TransientError):
            asyncio.run(give())
            return True
        return False

    with _running(directory, [kafka_program(home)]):
        wait_until(given, "the broker answers", seconds=120)
        yield kafka


PRODUCER, STRANGER = "billing", "mallory"
"""Users of Kafka: one who may ask for imports, one who may log in and no more."""


@contextmanager
def stack_with_least_rights(directory: Path) -> Iterator[tuple[Stack, AuthorizedKafka]]:
    """A whole stack, in which each service logs in at MongoDB as the user that ``deploy.mongodb_roles`` makes for it,
    and at Kafka with the rights that ``deploy.provision --acls`` gives.

    The stack itself, and so whoever looks past the services, has the rights of an administrator of MongoDB, and of the
    provision at Kafka.
    """
    (home := directory / "mongod").mkdir()
    (kafka_home := directory / "kafka").mkdir()
    users = [*map(user_of, (*USERS, PROVISION)), PRODUCER, STRANGER]
    with authorized_mongod(home) as admin, authorized_kafka(kafka_home, users) as kafka:
        passwords = {service: f"s3cret-of-{service}" for service in SERVICES}
        login = f"{USER}:{PASSWORD}"
        own = {name: admin.replace(login, f"{role_of(name)}:{password}") for name, password in passwords.items()}

        async def make() -> None:
            mongo = await connect(MongoSettings(mongodb=SecretStr(admin)))
            await make_users(mongo, passwords)
            await mongo.client.close()

        asyncio.run(make())
        impatient = {"ROWDOCK_RESCUE_AFTER_SECONDS": "4", "ROWDOCK_RETENTION_SWEEP_SECONDS": "2"}
        own |= {process: own[user] for process, user in LOGS_IN_AS.items()}
        environment = {
            service: {**impatient, "ROWDOCK_MONGODB": uri, **login_of(user_of(service))} for service, uri in own.items()
        }
        provision = (*Commands().provision, "--acls", "--producer", PRODUCER)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {"ROWDOCK_MONGODB": admin, **kafka.environment, **login_of(user_of(PROVISION))}.items():
                patch.setenv(name, value)
            with running(
                directory / "stack",
                environment=environment,
                scale={"sources": 1},
                commands=Commands(provision=provision),
            ) as stack:
                yield stack, kafka


async def send(settings: KafkaSettings, topic: str, value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> None:
    """Send one message as a client of no code of ours does."""
    async with AIOKafkaProducer(**settings.client_options()) as producer:
        await producer.send_and_wait(topic, value, headers=headers)
