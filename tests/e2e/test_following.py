"""Imports are followed through the whole stack."""

import json
from typing import Any

import pytest

from tests.client import GatewayClient, planted_file, planted_template

pytestmark = pytest.mark.servers

COUNTS = ("rows_parsed", "rows_validated", "rows_written")


def followed(gateway: GatewayClient, path: str) -> list[tuple[str, Any]]:
    """Name and data of every event, until the stream ends."""
    events: list[tuple[str, Any]] = []
    with gateway.http.stream("GET", path, timeout=120) as answer:
        assert answer.status_code == 200
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                events.append((name, json.loads(line.removeprefix("data: "))))
    return events


def test_an_import_is_followed_to_its_end(gateway: GatewayClient, resource: str) -> None:
    file = planted_file(30_000, bad_share=0.01)
    template = gateway.create_template(planted_template(resource, auto_execute=True))
    form = {"template_id": template["id"]}
    uploaded = gateway.http.post("/imports/upload", data=form, files={"file": ("rows.csv", file.content)})
    run_id = uploaded.json()["id"]
    events = followed(gateway, f"/imports/runs/{run_id}/events")
    names = [name for name, _ in events]
    assert (names[0], names[-1], "fault" in names) == ("snapshot", "end", False)
    states = [data for name, data in events if name != "status"]
    for count in COUNTS:
        told = [state[count] for state in states]
        assert told == sorted(told), f"{count} went back: {told}"
    last = states[-1]
    assert (last["status"], last["stage"], last["total_rows"]) == ("completed", "ended", file.rows)
    assert (last["written_count"], last["rejected_count"]) == (len(file.valid), len(file.rejected))
    assert last["rows_written"] == file.rows
