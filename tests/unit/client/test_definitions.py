"""Both clients ask the same, and everything that the engine's interface offers."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from deploy.client_models import PATHS
from rowdock_client import AsyncRowdock, Rowdock, calls
from rowdock_client.calls import Call
from rowdock_client.progress import Progress
from tests.unit.lint.test_source_rules import CHECKOUT

OPENAPI: dict[str, Any] = json.loads((CHECKOUT / "docs" / "openapi.json").read_text(encoding="utf-8"))
SAMPLES: dict[str, Any] = {
    "template_id": "T", "run_id": "R", "record_id": "J", "file": b"", "template": {"name": "n"}, "corrected_data": {},
    "correction": {"code": "C"},
}  # fmt: skip


def definitions(client: type) -> dict[str, Any]:
    """What each method of a client is defined by."""
    return {
        name: each.__wrapped__
        for name, each in vars(client).items()
        if hasattr(each, "__wrapped__") and name[0] != "_" and name != "streaming"
    }


def defined_calls() -> list[Call[Any]]:
    functions = [
        each
        for name, each in inspect.getmembers(calls, inspect.isfunction)
        if each.__module__ == calls.__name__ and not name.startswith("_")
    ]
    return [
        each(*(
            SAMPLES[parameter.name]
            for parameter in inspect.signature(each).parameters.values()
            if parameter.default is parameter.empty
        ))
        for each in functions
    ]  # fmt: skip


def operations() -> set[tuple[str, str]]:
    return {
        (method.upper(), path.replace("{template_id}", "T").replace("{run_id}", "R").replace("{record_id}", "J"))
        for path, found in OPENAPI["paths"].items()
        if path.startswith(PATHS)
        for method in found
    }


def _described(method: str, path: str) -> dict[str, Any]:
    """What the document says of a call with the ids of ``SAMPLES``."""
    template = path.replace("/T", "/{template_id}").replace("/R", "/{run_id}").replace("/J", "/{record_id}")
    return OPENAPI["paths"][template][method.lower()]


def test_both_clients_have_the_same_methods_by_the_same_definitions() -> None:
    waiting, awaiting = definitions(Rowdock), definitions(AsyncRowdock)
    assert len(waiting) > 30
    assert waiting == awaiting


def test_every_operation_has_a_call_and_every_call_an_operation() -> None:
    assert {(call.method, call.path) for call in defined_calls()} == operations()


def test_every_call_is_a_method() -> None:
    functions = {
        name for name, each in inspect.getmembers(calls, inspect.isfunction)
        if each.__module__ == calls.__name__ and not name.startswith("_")
    }  # fmt: skip
    assert functions <= set(definitions(Rowdock))


def test_parameters_are_those_of_the_interface() -> None:
    """Their names; what a call does not offer is a matter of taste, what it invents is refused by the gateway."""
    for call in defined_calls():
        described = _described(call.method, call.path)
        declared = {each["name"] for each in described.get("parameters", ()) if each["in"] == "query"}
        assert set(call.query) <= declared, call.path


def test_the_members_of_a_state_are_those_of_the_interface() -> None:
    state = OPENAPI["components"]["schemas"]["RunProgressView"]
    told = Progress.told({**dict.fromkeys(state["required"]), "id": "R", "stage": "reverting", "rows_reverted": 3})
    assert (told.run_id, told.rows_done) == ("R", 3)


def test_a_call_has_a_key_and_is_repeatable_where_the_interface_takes_one() -> None:
    keyed = {(call.method, call.path) for call in defined_calls() if calls.IDEMPOTENCY_KEY in call.headers}
    takes = {
        (method, path)
        for method, path in operations()
        if any(each["name"] == calls.IDEMPOTENCY_KEY for each in _described(method, path).get("parameters", ()))
    }
    assert len(takes) > 5
    assert keyed == takes
    assert all(call.repeatable for call in defined_calls() if calls.IDEMPOTENCY_KEY in call.headers)


def test_creating_calls_have_a_key_of_their_own() -> None:
    one, other = calls.upload_file(b"", "T"), calls.upload_file(b"", "T")
    assert one.headers[calls.IDEMPOTENCY_KEY] != other.headers[calls.IDEMPOTENCY_KEY]
    assert calls.upload_file(b"", "T", idempotency_key="mine").headers[calls.IDEMPOTENCY_KEY] == "mine"


@pytest.mark.parametrize("identifier", ["../templates", "a/b", "a?b=c", "ä"])
def test_ids_stay_one_part_of_the_path(identifier: str) -> None:
    assert calls.get_run(identifier).path.count("/") == 3
    assert "?" not in calls.get_run(identifier).path


def test_the_package_is_typed_and_knows_no_server() -> None:
    package = Path(inspect.getfile(Rowdock)).parent
    assert (package / "py.typed").exists()
