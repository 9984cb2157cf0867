"""The doctor finds each thing that is broken on real servers, and says how to mend it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from deploy.doctor.findings import Finding, Grade
from deploy.doctor.kafka import look_at_kafka
from deploy.doctor.mongodb import disk_room, look_at_mongodb
from deploy.local.servers import Servers
from deploy.migrations import MIGRATIONS
from deploy.migrations.runner import forget
from deploy.mongodb_roles import SERVICES, make_users, missing_rights, privileges_of, role_of
from deploy.provision import provision_mongodb
from libs.contracts.topics import DAY_MS, TOPICS, Topic
from libs.messaging.connection import KafkaSettings
from libs.messaging.topics import Topics
from libs.storage.client import Mongo, connect
from libs.storage.settings import MongoSettings
from tests.secured import PASSWORD, USER, SecuredKafka, authorized_mongod, secured_kafka

pytestmark = pytest.mark.servers


@pytest.fixture
def settings(mongo: Mongo, mongodb_uri: str) -> MongoSettings:
    """Those of the databases of the test."""
    return MongoSettings(mongodb=SecretStr(mongodb_uri), database=mongo.state.name, target_database=mongo.target.name)


def bad(findings: Sequence[Finding], subject: str, grade: Grade = Grade.PROBLEM) -> Finding:
    """The one finding about ``subject`` of that grade; whatever is not good says how to mend it."""
    assert all(bool(each.remedy) == (each.grade is not Grade.GOOD) for each in findings)
    [found] = [each for each in findings if each.subject == subject and each.grade is grade]
    return found


def problems(findings: Sequence[Finding]) -> list[str]:
    return [each.text for each in findings if each.grade is Grade.PROBLEM]


def doctor(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs it as people do."""
    command = [sys.executable, "-m", "deploy.doctor"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


async def test_what_was_just_provisioned_has_no_problem(settings: MongoSettings, servers: Servers) -> None:
    findings = await look_at_mongodb(settings, secret_key=SecretStr(Fernet.generate_key().decode()))
    assert problems(findings) == []
    # Here one member holds the data, and lets in everybody.
    assert "1 members" in bad(findings, "replica set", Grade.WARNING).text
    assert "--auth" in bad(findings, "rights", Grade.WARNING).remedy
    kafka = KafkaSettings(kafka=servers.kafka)
    await Topics(kafka).ensure()
    assert problems(await look_at_kafka(kafka)) == []
    environment = {
        **os.environ,
        "ROWDOCK_MONGODB": settings.mongodb.get_secret_value(),
        "ROWDOCK_DATABASE": settings.database,
        "ROWDOCK_TARGET_DATABASE": settings.target_database,
        "ROWDOCK_KAFKA": servers.kafka,
    }
    told = await asyncio.to_thread(doctor, environment)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "ok      indexes: all" in told.stdout
    environment["ROWDOCK_KAFKA"] = "127.0.0.1:1"
    told = await asyncio.to_thread(doctor, environment)
    assert told.returncode == 1
    assert "PROBLEM kafka: " in told.stdout


async def test_an_index_that_is_gone_or_another(settings: MongoSettings, mongo: Mongo) -> None:
    await mongo.state["runs"].drop_index("status_updated")
    assert "runs lacks the index status_updated" in bad(await look_at_mongodb(settings), "indexes").text
    await mongo.state["runs"].create_index([("updated_at", 1), ("tenant_id", 1)], name="status_updated")
    found = bad(await look_at_mongodb(settings), "indexes")
    assert ("other fields" in found.text, found.remedy[:4]) == (True, "drop")
    await mongo.state["runs"].drop_index("status_updated")
    await provision_mongodb(settings)
    assert problems(await look_at_mongodb(settings)) == []


async def test_migrations_that_are_not_made(settings: MongoSettings, mongo: Mongo) -> None:
    waiting = next(each for each in MIGRATIONS if each.waits)
    assert waiting.name in " ".join(
        each.text for each in await look_at_mongodb(settings) if each.subject == "migrations"
    )
    await provision_mongodb(settings, finish=True)
    assert not [each for each in await look_at_mongodb(settings) if each.subject == "migrations" and each.remedy]
    await forget(mongo, MIGRATIONS[0].name)
    assert MIGRATIONS[0].name in bad(await look_at_mongodb(settings), "migrations").text


@pytest.mark.parametrize(("seconds", "grade"), [(-60, Grade.PROBLEM), (10, Grade.WARNING), (0, Grade.GOOD)])
async def test_a_clock_that_is_wrong(settings: MongoSettings, seconds: int, grade: Grade) -> None:
    found = await look_at_mongodb(settings, clock=lambda: datetime.now(UTC) + timedelta(seconds=seconds))
    assert [each.grade for each in found if each.subject == "clocks"] == [grade]


async def test_a_key_that_does_not_open_what_is_stored(settings: MongoSettings, mongo: Mongo) -> None:
    right, wrong = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    stored = Fernet(right).encrypt(b"whsec_x").decode()
    await mongo.state["webhook_endpoints"].insert_one({"_id": "e1", "encrypted_secret": stored})
    assert problems(await look_at_mongodb(settings, secret_key=SecretStr(right))) == []
    assert "1 of 1 secrets" in bad(await look_at_mongodb(settings, secret_key=SecretStr(wrong)), "keys").text
    both = await look_at_mongodb(settings, secret_key=SecretStr(f"{wrong},{right}"))
    assert problems(both) == []
    assert "1 of 1 secrets" in bad(both, "keys", Grade.WARNING).text
    assert "no Fernet key" in bad(await look_at_mongodb(settings, secret_key=SecretStr("short")), "keys").text
    assert "not set" in bad(await look_at_mongodb(settings), "keys", Grade.WARNING).text


async def test_processes_that_fell_silent_or_run_another_release(settings: MongoSettings, mongo: Mongo) -> None:
    now = datetime.now(UTC)

    def process(instance: str, **changes: object) -> dict[str, object]:
        return {
            "_id": instance, "service": instance.partition("-")[0], "instance": instance, "version": "1.0.0",
            "started_at": now, "seen_at": now, **changes,
        }  # fmt: skip

    await mongo.state["processes"].insert_many(
        [
            process("parser-1", clock_ahead_ms=5_000),
            process("parser-2", version="1.1.0"),
            process("parser-3", seen_at=now - timedelta(hours=1)),
            process("writer-1", seen_at=now - timedelta(hours=1)),
        ]
    )
    found = await look_at_mongodb(settings)
    assert "writer-1 fell silent" in bad(found, "processes").text
    assert "1.0.0 and 1.1.0" in bad(found, "releases", Grade.WARNING).text
    assert "parser-1 is +5.0 s" in bad(found, "clocks", Grade.WARNING).text


def test_a_disk_that_is_full() -> None:
    grades = [disk_room(used, 100 * 1024**3).grade for used in (50 * 1024**3, 85 * 1024**3, 95 * 1024**3)]
    assert grades == [Grade.GOOD, Grade.WARNING, Grade.PROBLEM]
    assert "ROWDOCK_KEEP_FILES_DAYS" in disk_room(95, 100).remedy


async def test_servers_that_are_not_there() -> None:
    nowhere = MongoSettings(mongodb=SecretStr("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=500"))
    assert "ROWDOCK_MONGODB" in bad(await look_at_mongodb(nowhere), "mongodb").remedy
    assert "ROWDOCK_KAFKA" in bad(await look_at_kafka(KafkaSettings(kafka="127.0.0.1:1")), "kafka").remedy


async def test_rights_that_are_missing_or_too_many(administrator: str) -> None:
    settings = MongoSettings(mongodb=SecretStr(administrator))
    await provision_mongodb(settings)
    wide = bad(await look_at_mongodb(settings, "gateway"), "rights", Grade.WARNING)
    assert "root" in wide.text
    mongo = await connect(settings)
    await make_users(mongo, dict.fromkeys(SERVICES, "s3cret"))
    assert len(await make_users(mongo, dict.fromkeys(SERVICES, "s3cret"))) == len(SERVICES), "it may be repeated"
    login = administrator.replace(f"{USER}:{PASSWORD}", f"{role_of('gateway')}:s3cret")
    own = MongoSettings(mongodb=SecretStr(login))
    assert problems(await look_at_mongodb(own, "gateway")) == []
    fewer = [each for each in privileges_of("gateway", "rowdock", "rowdock_data") if
             each["resource"]["collection"] != "templates"]  # fmt: skip
    await mongo.client.admin.command("updateRole", role_of("gateway"), privileges=fewer)
    found = bad(await look_at_mongodb(own, "gateway"), "rights")
    assert "insert on rowdock.templates" in found.text
    assert "deploy.mongodb_roles" in found.remedy
    await mongo.client.close()


def test_what_a_role_needs_is_held_against_what_a_user_has() -> None:
    needed = privileges_of("parser", "state", "data")
    assert missing_rights("parser", needed, "state", "data") == []
    everything = [{"resource": {"anyResource": True}, "actions": ["find", "insert", "update", "remove"]}]
    assert missing_rights("parser", everything, "state", "data") == []
    assert "find on other.runs" in missing_rights("parser", needed, "other", "data")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    with secured_kafka(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def administrator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a MongoDB that lets in nobody without a password."""
    with authorized_mongod(tmp_path_factory.mktemp("mongod")) as uri:
        yield uri


async def test_topics_and_brokers_that_are_not_as_declared(secured: SecuredKafka) -> None:
    kafka = KafkaSettings.model_validate(
        {
            "kafka": secured.login,
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_username": USER,
            "kafka_password": SecretStr(PASSWORD),
            "kafka_ca_file": secured.certificates.authority,
        }
    )
    one = Topic("test.one.v1", "none", 1, DAY_MS, "Of this test.")
    findings = await look_at_kafka(kafka, (one,))
    assert "test.one.v1 is not there" in bad(findings, "topics").text
    assert "min.insync.replicas" in bad(findings, "broker settings", Grade.WARNING).remedy
    await Topics(kafka, (one,)).ensure()
    assert problems(await look_at_kafka(kafka, (one,))) == []
    more = Topic("test.one.v1", "none", 3, 2 * DAY_MS, "Of this test.")
    texts = [each.text for each in await look_at_kafka(kafka, (more,)) if each.subject == "topics"]
    assert [text.partition(";")[0] for text in texts] == [
        "test.one.v1 has 1 of 3 partitions",
        f"test.one.v1 keeps messages for {DAY_MS} ms, {2 * DAY_MS} are declared",
    ]
    assert len(TOPICS) > 5
