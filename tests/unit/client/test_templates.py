"""Templates in files, and how they differ from what is stored."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from rowdock_client import Rowdock
from rowdock_client.cli.templates import applicable, applied
from rowdock_client.models import EngineTemplateView
from rowdock_client.templates import TemplateFileError, differences, read_template_file

FIELDS: list[dict[str, Any]] = [{"source": "A", "target": "a", "required": True}, {"target": "b", "type": "number"}]
TEMPLATE: dict[str, Any] = {"name": "T", "target_resource": "things", "field_mapping": FIELDS}


def stored(**members: Any) -> EngineTemplateView:  # noqa: ANN401
    shown = {
        **TEMPLATE, "id": "1", "tenant_id": "t", "version": 3, "created_at": "2025-01-01T00:00:00Z",
        "updated_at": "2025-01-01T00:00:00Z", "skip_rows": 0, "delimiter": None, "webhook_secret": None,
        "field_mapping": [{**FIELDS[0], "type": "text", "label": None, "validators": []}, FIELDS[1]],
    }  # fmt: skip
    return EngineTemplateView.model_validate({**shown, **members})


def changed(**members: Any) -> list[tuple[str, Any, Any]]:  # noqa: ANN401
    return [(each.path, each.before, each.after) for each in differences(stored(), {**TEMPLATE, **members})]


def test_what_is_not_said_is_the_default() -> None:
    assert changed() == []
    assert changed(skip_rows=0, import_mode="append", version=1) == []


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"skip_rows": 2}, [("skip_rows", 0, 2)]),
        ({"delimiter": ";"}, [("delimiter", None, ";")]),
        ({"mispelt": 1}, [("mispelt", None, 1)]),
        ({"default_values": {"a": 1}}, [("default_values.a", None, 1)]),
        (
            {"field_mapping": [{**FIELDS[0], "required": False}, FIELDS[1]]},
            [("field_mapping[0].required", True, False)],
        ),
        (
            {"field_mapping": [FIELDS[0]]},
            [("field_mapping[1]", stored().field_mapping[1].model_dump(), None)],
        ),
    ],
)
def test_what_differs_is_found(members: dict[str, Any], expected: list[tuple[str, Any, Any]]) -> None:
    assert changed(**members) == expected


def test_what_is_shown_can_be_applied_and_changes_nothing() -> None:
    shown = applicable(stored(skip_rows=4, upsert_key="a", import_mode="upsert"))
    assert differences(stored(skip_rows=4, upsert_key="a", import_mode="upsert"), shown) == []
    assert set(shown) == {"name", "target_resource", "field_mapping", "skip_rows", "upsert_key", "import_mode"}


@pytest.mark.parametrize(
    ("name", "text"), [("t.json", json.dumps(TEMPLATE)), ("t.yaml", "name: T\ntarget_resource: things\n")]
)
def test_files_are_json_or_yaml(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_template_file(tmp_path / name)["target_resource"] == "things"


@pytest.mark.parametrize(
    ("name", "text"),
    [("t.json", "{"), ("t.json", "[]"), ("t.json", "{}"), ("t.yaml", "a: ["), ("t.yaml", "!!python/name:os.system")],
)
def test_other_files_are_refused_with_their_name(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TemplateFileError, match=name):
        read_template_file(tmp_path / name)


@pytest.mark.parametrize(("members", "version"), [({}, 3), ({"version": 2}, 2)])
def test_only_the_version_that_was_compared_is_changed(members: dict[str, Any], version: int) -> None:
    replaced: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            replaced.append(json.loads(request.content))
        return httpx.Response(200, json=stored().model_dump(mode="json", exclude_unset=True))

    wanted = {**TEMPLATE, **members}
    with Rowdock("http://gateway", "k", transport=httpx.MockTransport(answer)) as client:
        assert applied(client, wanted, "1", Path("t.json"))[1] == "unchanged"
        assert applied(client, {**wanted, "skip_rows": 2}, "1", Path("t.json"))[1] == "changed"
    assert [(each["version"], each["skip_rows"]) for each in replaced] == [(version, 2)]
