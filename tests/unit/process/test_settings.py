"""What the environment tells a process, and what it is told when that is wrong."""

import pytest
from pydantic import ValidationError

from libs.process.settings import ServiceSettings
from libs.storage.settings import MongoSettings

WHOLE = {
    "ROWDOCK_KAFKA": "one:9092,two:9092",
    "ROWDOCK_OPS_PORT": "8001",
    "ROWDOCK_INSTANCE": "writer-1",
    "ROWDOCK_MONGODB": "mongodb://rowdock:s3cret@mongo/?replicaSet=rs0",
}
OPTIONAL = ("HOST", "LOG_LEVEL", "RESCUE_AFTER_SECONDS", "STALL_SECONDS", "DATABASE", "TARGET_DATABASE")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OPTIONAL:
        monkeypatch.delenv(f"ROWDOCK_{name}", raising=False)
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)


def test_what_is_given_and_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROWDOCK_SOMETHING_NEWER", "yes")
    settings = ServiceSettings.model_validate({})
    assert (settings.kafka, settings.ops_port, settings.instance) == ("one:9092,two:9092", 8001, "writer-1")
    assert (settings.host, settings.rescue_after_seconds, settings.stall_seconds) == ("127.0.0.1", 10, 60)
    mongo = MongoSettings.model_validate({})
    assert (mongo.database, mongo.target_database) == ("rowdock", "rowdock_data")


def test_the_connection_string_is_not_shown() -> None:
    settings = MongoSettings.model_validate({})
    assert settings.mongodb.get_secret_value() == WHOLE["ROWDOCK_MONGODB"]
    assert "s3cret" not in f"{settings!r} {settings} {settings.model_dump_json()}"


@pytest.mark.parametrize("name", ["KAFKA", "OPS_PORT", "INSTANCE"])
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(f"ROWDOCK_{name}")
    with pytest.raises(ValidationError, match=rf"(?s){name.lower()}.*Field required"):
        ServiceSettings.model_validate({})


def test_a_missing_connection_string_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROWDOCK_MONGODB")
    with pytest.raises(ValidationError, match=r"(?s)mongodb.*Field required"):
        MongoSettings.model_validate({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPS_PORT", "0"),
        ("OPS_PORT", "65536"),
        ("OPS_PORT", "http"),
        ("INSTANCE", ""),
        ("RESCUE_AFTER_SECONDS", "0"),
        ("STALL_SECONDS", "-1"),
    ],
)
def test_what_cannot_be_meant_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"ROWDOCK_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        ServiceSettings.model_validate({})


@pytest.mark.parametrize("database", ["", "a.b", "a/b", "a b", "$a", "x" * 61, "a\n"])
def test_databases_that_mongodb_refuses(monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    monkeypatch.setenv("ROWDOCK_DATABASE", database)
    with pytest.raises(ValidationError, match="database"):
        MongoSettings.model_validate({})
