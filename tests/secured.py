"""Servers that let nobody in who does not prove who they are: two Kafka brokers and a mongod, with TLS."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from pydantic import SecretStr
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from deploy.local.kafka import configure_kafka, format_kafka, kafka_program, new_cluster_id
from deploy.local.ports import choose_ports
from deploy.local.servers import REPLICA_SET, mongod_program
from deploy.local.stack import Stack, running
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


@contextmanager
def stack_with_least_rights(directory: Path) -> Iterator[Stack]:
    """A whole stack, in which each service logs in at MongoDB as the user that ``deploy.mongodb_roles`` makes for it.

    The stack itself, and so whoever looks past the services, has the rights of an administrator.
    """
    (home := directory / "mongod").mkdir()
    with authorized_mongod(home) as admin:
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
        environment = {service: {**impatient, "ROWDOCK_MONGODB": uri} for service, uri in own.items()}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ROWDOCK_MONGODB", admin)
            with running(directory / "stack", environment=environment) as stack:
                yield stack
