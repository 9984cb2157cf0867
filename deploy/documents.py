"""The documents of the two doors, made from the code: ``python -m deploy.documents``, or with ``--check`` compared.

``docs/asyncapi.yaml`` describes the topics, ``docs/openapi.json`` the HTTP interface of the gateway; from both the
models of the Python client are made. ``docs/configuration.md`` has everything that can be set, ``docs/metrics.md`` what
is measured, ``docs/dashboards.md`` how it is shown; in ``deploy/grafana/dashboards`` and ``deploy/prometheus`` are
dashboards, alerts and their trials.
"""

import argparse
import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any

import yaml
from faststream.kafka import KafkaBroker
from faststream.specification import AsyncAPI
from pydantic import BaseModel

from deploy.client_models import client_models, message_models
from deploy.configuration import configuration_document
from deploy.dashboards_document import dashboards_document
from deploy.metrics_document import metrics_document
from deploy.monitoring.alerts import RULES, rules_yaml, tests_yaml
from deploy.monitoring.dashboards import DASHBOARDS
from deploy.monitoring.panels import grafana_json
from libs.contracts.events import (
    BatchParsed,
    BatchReady,
    ExecutionRequested,
    MessageDeadLettered,
    RecordsChanged,
    RunStatusChanged,
    RunSubmitted,
)
from libs.contracts.requests import TOKEN_AUDIENCE, TOKEN_HEADER, ImportRequested, RequestAccepted, RequestRejected
from libs.contracts.topics import (
    BATCH_PARSED,
    BATCH_READY,
    DEAD_LETTERS,
    EXECUTION_REQUESTED,
    IMPORTS_REQUESTED,
    LARGE_BATCH_PARSED,
    LARGE_BATCH_READY,
    RECORDS_CHANGED,
    RUN_EVENTS,
    RUN_SUBMITTED,
    TOPICS,
    Topic,
)
from services.gateway.app import openapi_document

CHECKOUT = Path(__file__).resolve().parents[1]
DOCS = CHECKOUT / "docs"
GRAFANA_DASHBOARDS = CHECKOUT / "deploy" / "grafana" / "dashboards"
PROMETHEUS = CHECKOUT / "deploy" / "prometheus"
CLIENT_MODELS = CHECKOUT / "clients" / "python" / "src" / "rowdock_client" / "models.py"
CLIENT_MESSAGES = CLIENT_MODELS.with_name("messages.py")

EVENTS: Mapping[Topic, type[BaseModel] | UnionType] = {
    IMPORTS_REQUESTED: ImportRequested,
    RUN_SUBMITTED: RunSubmitted,
    BATCH_PARSED: BatchParsed,
    LARGE_BATCH_PARSED: BatchParsed,
    EXECUTION_REQUESTED: ExecutionRequested,
    BATCH_READY: BatchReady,
    LARGE_BATCH_READY: BatchReady,
    RUN_EVENTS: RunStatusChanged | RequestAccepted | RequestRejected,
    RECORDS_CHANGED: RecordsChanged,
    DEAD_LETTERS: MessageDeadLettered,
}
"""What each topic carries; a topic without an entry is provisioned and reserved for a later release."""

_UNORDERED = frozenset({"channels", "operations", "messages", "schemas"})
_INTRODUCTION = """\
Messages carry ids, never rows; only requests bring some, and changes of records carry values where a template asks for
it. Each is JSON with `event_id`, `occurred_at` and `schema_version`, and the headers `content-type` and `event-id`.
Delivery is at least once: drop an `event_id` seen before. Readers ignore fields they do not know, and events of a
`kind` they do not know where a topic carries several; a change that an old reader cannot read gets a new topic. Topics
marked as internal may change without notice.
"""
_REQUEST_HEADERS = {
    "type": "object",
    "properties": {
        TOKEN_HEADER: {
            "type": "string",
            "description": "A JWT, signed with EdDSA by a registered producer: header `kid` with the producer's id; "
            f"claims `aud` ({TOKEN_AUDIENCE}), `exp`, `tenant_id`, `request_id` and `sha256`, that of the message's "
            "value in hexadecimal. Not needed where the broker's ACLs decide.",
        }
    },
}


def asyncapi_document() -> str:
    """The AsyncAPI 3.0 document of every topic that carries events, as YAML."""
    broker = KafkaBroker("localhost:9092")
    for topic, event in EVENTS.items():
        broker.publisher(topic.name, title=topic.name, description=_description(topic), schema=event)
    reserved = ", ".join(topic.name for topic in TOPICS if topic not in EVENTS)
    specification = AsyncAPI(
        broker,
        title="Rowdock events",
        version=_version(),
        description=f"{_INTRODUCTION}Reserved, not in use yet: {reserved}." if reserved else _INTRODUCTION,
        license={"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
    )
    document: dict[str, Any] = specification.to_specification().to_jsonable()
    document["operations"][IMPORTS_REQUESTED.name]["action"] = "receive"
    document["components"]["messages"][f"{IMPORTS_REQUESTED.name}:Message"]["headers"] = _REQUEST_HEADERS
    # FastStream collects channels in a set, whose order changes from one process to the next.
    for part in (document, document["components"]):
        part.update({name: dict(sorted(some.items())) for name, some in part.items() if name in _UNORDERED})
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _description(topic: Topic) -> str:
    days = topic.retention_ms // (24 * 3_600_000)
    scope = "Public" if topic.public else "Internal"
    return f"{topic.description} {scope}. Key: {topic.key}. {topic.partitions} partitions, kept for {days} days."


def _version() -> str:
    """The version of the checkout; that of an installed package may be an older one or none."""
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def _openapi() -> dict[str, Any]:
    document = openapi_document()
    return {**document, "info": {**document["info"], "version": _version()}}


def documents() -> dict[Path, str]:
    """The text of each document by the file that it belongs in."""
    openapi = json.dumps(_openapi(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    asyncapi = asyncapi_document()
    public = [topic.name for topic in TOPICS if topic.public]
    return {
        DOCS / "asyncapi.yaml": asyncapi,
        DOCS / "openapi.json": openapi,
        DOCS / "configuration.md": configuration_document(),
        DOCS / "dashboards.md": dashboards_document(DASHBOARDS),
        DOCS / "metrics.md": metrics_document(),
        PROMETHEUS / "rules" / RULES: rules_yaml(),
        PROMETHEUS / "tests" / RULES: tests_yaml(),
        **{GRAFANA_DASHBOARDS / f"{each.uid}.json": grafana_json(each) for each in DASHBOARDS},
        CLIENT_MODELS: client_models(json.loads(openapi)),
        CLIENT_MESSAGES: message_models(yaml.safe_load(asyncapi), public),
    }


def drifted(expected: Mapping[Path, str] | None = None) -> list[Path]:
    """Files that do not hold what the code says.

    Args:
        expected: text by file; by default ``documents()``.
    """
    texts = documents() if expected is None else expected
    return [file for file, text in texts.items() if not file.exists() or file.read_text(encoding="utf-8") != text]


def main() -> int:
    """Write or compare; the exit code of a comparison is 1 where a file has drifted."""
    parser = argparse.ArgumentParser(prog="python -m deploy.documents", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is out of date")
    if parser.parse_args().check:
        for file in (out_of_date := drifted()):
            print(f"{file.relative_to(CHECKOUT)} is out of date: run `make docs` and commit it", file=sys.stderr)
        return 1 if out_of_date else 0
    for file, text in documents().items():
        file.write_text(text, encoding="utf-8")
        print(f"wrote {file.relative_to(CHECKOUT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
