"""The committed documents say what the code does."""

import json
from pathlib import Path
from typing import get_args

import yaml
from jsonschema import Draft202012Validator

from deploy.documents import EVENTS, asyncapi_document, documents, drifted
from libs.contracts.topics import TOPICS


def test_committed_documents_are_up_to_date() -> None:
    assert [file.name for file in drifted()] == [], "run `make docs` and commit the result"


def test_asyncapi_names_the_event_of_every_topic_in_use() -> None:
    document = yaml.safe_load(asyncapi_document())
    assert set(document["channels"]) == {topic.name for topic in EVENTS}
    schemas = document["components"]["schemas"]
    for topic, carried in EVENTS.items():
        payload = document["components"]["messages"][f"{topic.name}:Message"]["payload"]
        events = get_args(carried) or (carried,)
        if len(events) > 1:
            payload = schemas[payload["$ref"].removeprefix("#/components/schemas/")]
        told = payload.get("anyOf", [payload])
        assert told == [{"$ref": f"#/components/schemas/{event.__name__}"} for event in events]
        for event in events:
            assert set(schemas[event.__name__]["properties"]) == set(event.model_fields)


def test_asyncapi_names_the_reserved_topics() -> None:
    introduction = yaml.safe_load(asyncapi_document())["info"]["description"]
    for topic in TOPICS:
        assert (topic in EVENTS) != (topic.name in introduction)


def test_openapi_describes_every_door_of_the_engine() -> None:
    text = next(text for file, text in documents().items() if file.name == "openapi.json")
    paths = set(json.loads(text)["paths"])
    assert {"/imports/templates", "/imports/upload", "/imports/runs/{run_id}/execute", "/imports/rejected"} <= paths


def test_examples_of_the_openapi_document_are_as_it_describes_them() -> None:
    document = json.loads(next(text for file, text in documents().items() if file.name == "openapi.json"))
    examples = document["components"]["examples"]
    seen: set[str] = set()
    for operation in (each for path in document["paths"].values() for each in path.values()):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for media in (each for body in bodies for each in body.get("content", {}).values()):
            schema = Draft202012Validator({**media["schema"], "components": document["components"]})
            for name in media.get("examples", {}):
                assert not list(schema.iter_errors(examples[name]["value"])), name
                seen.add(name)
    assert seen == examples.keys()


def test_drift_is_noticed(tmp_path: Path) -> None:
    stale = next(iter(documents()))
    copy = tmp_path / stale.name
    copy.write_text(stale.read_text(encoding="utf-8").replace("Rowdock", "Someone else"), encoding="utf-8")
    assert drifted({copy: stale.read_text(encoding="utf-8")}) == [copy]
    assert drifted({tmp_path / "missing": ""}) == [tmp_path / "missing"]


def test_every_operation_has_examples() -> None:
    """Whatever is sent or answered as text is shown once; what a workbook looks like nobody can write down."""
    document = json.loads(next(text for file, text in documents().items() if file.name == "openapi.json"))
    without: list[str] = []
    for operation in (each for path in document["paths"].values() for each in path.values()):
        bodies = {"request": operation.get("requestBody", {}), **operation["responses"]}
        for name, body in bodies.items():
            for media_type, media in body.get("content", {}).items():
                shown = bool({"example", "examples"} & media.keys())
                if not shown and "contentMediaType" not in media["schema"]:
                    without.append(f"{operation['operationId']} {name} {media_type}")
    assert without == [], "add them to services/gateway/http/examples.json, by the name of the model"
