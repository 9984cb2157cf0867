"""The OpenAPI document, held against a running stack by schemathesis: every operation, by itself and one after another.

``DOCUMENT_SECONDS`` (``make document``) searches for so long with other requests each time, where the test of every
day makes the same few; what fails says its seed.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.stack import Stack, make_organization
from deploy.local.supervision import CHECKOUT
from libs.contracts.events import RunSubmitted
from libs.contracts.lanes import Lane
from libs.contracts.topics import RUN_SUBMITTED
from services.gateway.access.principal import Scope
from tests.client import GatewayClient, eventually
from tests.integration.gateway.steps import PRODUCER, importer_body, source_body, template_body
from tests.oracle import Oracle
from tests.receiver import Receiver

pytestmark = pytest.mark.servers

EXAMPLES = "3"
OF_EACH = 12
"""Things to be named, so that some are left when others are deleted."""
SECONDS = int(os.environ.get("DOCUMENT_SECONDS", "0"))
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "unsupported_method", "allow_header_conformance", "ignored_auth",
    "use_after_free",
)  # fmt: skip
HOOKS = Path(__file__).parent / "document_hooks.py"
DONE = 80
"""So many of the operations at least are done, not only refused; Clerk's webhook is not there without a secret."""
ROWS = b"sku,name\nA1,Anvil\n,Nameless\nB2,Bolt\n"


@pytest.mark.timeout(900 + SECONDS)
def test_every_operation_answers_as_the_document_says(
    stack: Stack, oracle: Oracle, receiver: Receiver, tmp_path: Path
) -> None:
    own, key = _operator(stack, make_organization(stack, "held against the document"))
    with GatewayClient(stack.gateway, key) as gateway, _dead_letters(oracle) as letters:
        document = gateway.http.get("/schema/openapi.json").json()
        statuses = tmp_path / "statuses"
        environment = {
            **os.environ,
            "PYTHONPATH": str(CHECKOUT),
            "SCHEMATHESIS_HOOKS": str(HOOKS),
            "ROWDOCK_OWN_KEY_ID": own,
            "ROWDOCK_KNOWN_IDS": json.dumps({**_things(gateway, receiver), **_sources(stack, gateway), **letters}),
            "ROWDOCK_STATUSES": str(statuses),
        }
        searched = ("--max-time", str(SECONDS)) if SECONDS else ("--generation-deterministic",)
        command = [
            sys.executable, "-m", "schemathesis.cli", "run", f"{stack.gateway}/schema/openapi.json",
            "--header", f"Authorization: Bearer {key}", "--checks", ",".join(CHECKS), "--max-examples", EXAMPLES,
            "--request-timeout", "90", "--continue-on-failure", "--no-color", *searched,
        ]  # fmt: skip
        found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stdout[-30_000:] + found.stderr[-2_000:]
        assert gateway.http.get("/api/v1/api-keys").status_code == 200, "the key did not last"

    # What was held against the document was not one refusal after another.
    answered = defaultdict[str, set[str]](set)
    for line in statuses.read_text().splitlines():
        operation, _, status = line.rpartition(" ")
        answered[operation].add(status)
    there = {f"{method.upper()} {path}" for path, operations in document["paths"].items() for method in operations}
    assert there <= answered.keys()
    refused = {each for each in there if not any(status.startswith("2") for status in answered[each])}
    assert len(there - refused) >= DONE, {each: answered[each] for each in refused}


def _operator(stack: Stack, key: str) -> tuple[str, str]:
    """A key of the same organization that may do everything, dead letters included: its id and itself."""
    with GatewayClient(stack.gateway, key) as gateway:
        [organization] = gateway.http.get("/imports/tenants").json()["data"]
    scopes = [part for scope in Scope for part in ("--scope", scope.value)]
    made = subprocess.run(
        [sys.executable, "-m", "services.gateway.admin", "keys", "create", organization["id"], "all", *scopes],
        env={
            **os.environ,
            **stack.servers.environment(),
            "ROWDOCK_DATABASE": stack.database,
            "ROWDOCK_TARGET_DATABASE": stack.target_database,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    printed = json.loads(made.stdout)
    return printed["id"], printed["api_key"]


@contextmanager
def _dead_letters(oracle: Oracle) -> Iterator[dict[str, list[str]]]:
    """Ids of messages about a run that there is not, which harm nobody when they are published once more."""
    ids = [uuid4().hex for _ in range(2 * OF_EACH)]
    event = RunSubmitted.of("0" * 24, "0" * 24, Lane.SMALL)
    message = {
        "service": "parser", "topic": RUN_SUBMITTED.name, "partition": 0, "offset": 0, "key": None,
        "value": event.model_dump_json().encode(), "headers": [], "code": "UNDECODABLE_MESSAGE", "message": "planted",
        "created_at": datetime.now(UTC), "state": "waiting",
    }  # fmt: skip
    letters = oracle.state["dead_letters"]
    letters.insert_many({"_id": each, **message} for each in ids)
    yield {"letter_id": ids[:OF_EACH], "replay_letter_id": ids[OF_EACH:]}
    letters.delete_many({"_id": {"$in": ids}})


def _things(gateway: GatewayClient, receiver: Receiver) -> dict[str, list[str]]:
    """Ids of what there is to be named, by the name of the parameter; the last run and the last import have ended.

    ``preview_run_id`` and so on are for the addresses that end in that word.
    """
    known = defaultdict[str, list[str]](list)
    template = gateway.create_template(template_body(name="used"))["id"]
    endpoint = _made(gateway, "/api/v1/webhook-endpoints", {"url": receiver.url, "event_types": ["import.completed"]})
    for action in ("deliveries", "enable", "replay", "rotate-secret", "test"):
        known[f"{action}_endpoint_id"].append(endpoint)
    for number in range(OF_EACH):
        silent = {"url": receiver.url, "event_types": ["import.cancelled"]}
        known["endpoint_id"].append(_made(gateway, "/api/v1/webhook-endpoints", silent))
        known["template_id"].append(gateway.create_template(template_body(name=f"template {number}"))["id"])
        known["importer_id"].append(_made(gateway, "/api/v1/importers", importer_body(name=f"importer {number}")))
        columns = [{"key": "sku", "name": "SKU", "type": "string"}, {"key": "name", "name": "Name", "type": "string"}]
        rowporter = {"name": f"template {number}", "columns": columns}
        known["rowporter_template_id"].append(_made(gateway, "/api/v1/templates", rowporter))
        known["key_id"].append(_made(gateway, "/api/v1/api-keys", {"name": f"key {number}"}))
        known["producer_id"].append(_made(gateway, "/api/v1/request-producers", PRODUCER))
        known["run_id"].append(_completed(gateway, template) if number % 2 else _checked(gateway, template))
        known["record_id"] += [each["id"] for each in gateway.rejected(known["run_id"][-1])]
        started = gateway.http.post(
            "/api/v1/imports",
            data={"importer_id": known["importer_id"][0], "mapping": '{"sku": "sku", "name": "name"}'},
            files={"file": ("p.csv", ROWS)},
        )
        known["import_id"].append(started.raise_for_status().json()["id"])
    for _ in range(3):
        known["preview_run_id"].append(_checked(gateway, template))
        known["execute_run_id"].append(_checked(gateway, template))
        known["retry-all_run_id"].append(_completed(gateway, template))
        [rejected] = gateway.rejected(_completed(gateway, template))
        corrected = {"corrected_data": {"sku": "C3"}}
        assert gateway.http.put(f"/imports/rejected/{rejected['id']}", json=corrected).status_code == 200
        known["retry_record_id"].append(rejected["id"])
    known["resource"].append("products")
    records = gateway.http.get("/records/products").raise_for_status().json()["data"]
    known["identifier"] += [each["id"] for each in records]
    eventually(lambda: gateway.http.get(f"/api/v1/imports/{known['import_id'][-1]}").json()["completed_at"], "its end")
    sent = f"/api/v1/webhook-endpoints/{endpoint}/deliveries"
    known["delivery_id"] += [
        each["id"] for each in eventually(lambda: gateway.http.get(sent).json()["data"], "deliveries to name")
    ]
    return known


def _sources(stack: Stack, gateway: GatewayClient) -> dict[str, list[str]]:
    """Sources that nobody looks at."""
    [organization] = gateway.http.get("/imports/tenants").json()["data"]
    watched = stack.supervisor.program("gateway-1").environment["ROWDOCK_SOURCES_DIRECTORY"]
    (Path(watched) / organization["id"]).mkdir(parents=True, exist_ok=True)
    template = gateway.create_template(template_body(name="of sources"))["id"]
    made = [_made(gateway, "/api/v1/sources", source_body(template, name=f"source {each}")) for each in range(OF_EACH)]
    return {"source_id": made, **{f"{each}_source_id": made[:1] for each in ("files", "run", "test")}}


def _checked(gateway: GatewayClient, template: str) -> str:
    return gateway.wait(gateway.upload(template, ROWS)["id"], "validated")["id"]


def _completed(gateway: GatewayClient, template: str) -> str:
    run = _checked(gateway, template)
    gateway.execute(run)
    return gateway.wait(run)["id"]


def _made(gateway: GatewayClient, path: str, body: dict[str, Any]) -> str:
    answer = gateway.http.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]
