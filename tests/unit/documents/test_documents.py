"""The committed documents say what the code does."""

import json
from pathlib import Path

import yaml

from deploy.documents import EVENTS, asyncapi_document, documents, drifted
from libs.contracts.topics import TOPICS


def test_committed_documents_are_up_to_date() -> None:
    assert [file.name for file in drifted()] == [], "run `make docs` and commit the result"


def test_asyncapi_names_the_event_of_every_topic_in_use() -> None:
    document = yaml.safe_load(asyncapi_document())
    assert set(document["channels"]) == {topic.name for topic in EVENTS}
    for topic, event in EVENTS.items():
        message = document["components"]["messages"][f"{topic.name}:Message"]
        assert message["payload"] == {"$ref": f"#/components/schemas/{event.__name__}"}
        assert set(document["components"]["schemas"][event.__name__]["properties"]) == set(event.model_fields)


def test_asyncapi_names_the_reserved_topics() -> None:
    introduction = yaml.safe_load(asyncapi_document())["info"]["description"]
    for topic in TOPICS:
        assert (topic in EVENTS) != (topic.name in introduction)


def test_openapi_describes_every_door_of_the_engine() -> None:
    text = next(text for file, text in documents().items() if file.name == "openapi.json")
    paths = set(json.loads(text)["paths"])
    assert {"/imports/templates", "/imports/upload", "/imports/runs/{run_id}/execute", "/imports/rejected"} <= paths


def test_drift_is_noticed(tmp_path: Path) -> None:
    stale = next(iter(documents()))
    copy = tmp_path / stale.name
    copy.write_text(stale.read_text(encoding="utf-8").replace("Rowdock", "Someone else"), encoding="utf-8")
    assert drifted({copy: stale.read_text(encoding="utf-8")}) == [copy]
    assert drifted({tmp_path / "missing": ""}) == [tmp_path / "missing"]
