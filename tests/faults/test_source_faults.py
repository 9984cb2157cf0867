"""Pollers of sources that are killed at the worst moments: each file of a folder is imported exactly once."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.ports import choose_ports
from deploy.local.stack import Stack
from deploy.local.supervision import Program
from tests.client import TERMINAL, GatewayClient, eventually
from tests.faults.test_faults import pick
from tests.oracle import Oracle

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(600)]

FILES, ROWS, KILLS, POLLERS = 12, 40, 3, ("poller-1", "poller-2")


@pytest.fixture
def pollers(stack: Stack, tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Starts two pollers that die at a failpoint, three times; answers the folder that shows what was hit."""
    like = stack.supervisor.program("gateway-1")
    ports = choose_ports(tmp_path / "ports.json", POLLERS)

    def start(point: str) -> Path:
        hits = tmp_path / "hits"
        hits.mkdir()
        programs = [
            Program(
                name,
                (sys.executable, "-m", "services.gateway.sources"),
                like.priority,
                environment={
                    **like.environment,
                    "ROWDOCK_INSTANCE": name,
                    "ROWDOCK_OPS_PORT": str(ports[name]),
                    "FAILPOINT": f"{point}:kill:2",
                    "FAILPOINT_DIRECTORY": str(hits),
                    "FAILPOINT_LIMIT": str(KILLS),
                },
            )
            for name in POLLERS
        ]
        stack.supervisor.put(programs)
        stack.supervisor.start(POLLERS)
        return hits

    yield start
    stack.supervisor.stop(POLLERS)


@pytest.mark.parametrize(
    "point",
    [
        "sources.seen_before_claimed",
        "sources.claimed_before_stored",
        "gateway.file_stored_before_submit",
        "ledger.stored_before_hint",
        "gateway.submitted_before_answer",
        pytest.param("sources.submitted_before_recorded", marks=pick),
        "sources.recorded_before_arrival",
        "sources.reported_before_moved",
        "sources.moved_before_settled",
    ],
)
def test_kill_pollers(
    point: str,
    pollers: Callable[[str], Path],
    stack: Stack,
    gateway: GatewayClient,
    oracle: Oracle,
    resource: str,
) -> None:
    [organization] = [each["id"] for each in gateway.http.get("/imports/tenants").json()["data"]]
    watched = stack.supervisor.program("gateway-1").environment["ROWDOCK_SOURCES_DIRECTORY"]
    folder = Path(watched) / organization / resource
    folder.mkdir(parents=True)
    for number in range(FILES):
        rows = "".join(f"{number}-{row},Bolt\n" for row in range(ROWS))
        (folder / f"{number}.csv").write_text(f"sku,name\n{rows}")
        os.utime(folder / f"{number}.csv", (1_700_000_000 + number, 1_700_000_000 + number))
    mapping = [{"source": name, "target": name} for name in ("sku", "name")]
    template = gateway.create_template({"name": resource, "target_resource": resource, "field_mapping": mapping})
    body = {"name": resource, "type": "directory", "template_id": template["id"], "directory": resource}
    answer = gateway.http.post("/api/v1/sources", json={**body, "stable_seconds": 0, "every_seconds": 10})
    assert answer.status_code == 201, answer.text
    path = f"/api/v1/sources/{answer.json()['id']}"
    hits = pollers(point)

    def all_put_away() -> bool:
        files = gateway.http.get(f"{path}/files?limit=100").json()["data"]
        return len(files) == FILES and all(each["status"] == "settled" for each in files)

    try:
        eventually(all_put_away, "every file is put away", 300)
        files = gateway.http.get(f"{path}/files?limit=100").json()["data"]
    finally:
        gateway.http.delete(path)
    assert list(hits.iterdir()), "the failpoint was never passed"
    assert {each["outcome"] for each in files} == {"imported"}
    runs = list(oracle.state["runs"].find({"template_id": template["id"]}))
    assert {run["_id"] for run in runs} == {each["run_id"] for each in files}
    assert len(runs) == FILES
    for run in runs:
        assert oracle.settled(run["_id"])["status"] in TERMINAL
    assert oracle.target[resource].count_documents({}) == len(oracle.target[resource].distinct("sku")) == FILES * ROWS
    assert sorted(each.name for each in folder.iterdir()) == ["done", "failed"]
    assert len(list((folder / "done").iterdir())) == 2 * FILES
