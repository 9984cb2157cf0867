"""A poller breaks off between any two steps; another one goes on, and each file is imported exactly once."""

import pytest

from libs.telemetry import failpoints
from tests.integration.gateway.sources.world import World, put
from tests.integration.gateway.steps import CSV

POINTS = [
    "sources.seen_before_claimed",
    "sources.claimed_before_stored",
    "gateway.file_stored_before_submit",
    "ledger.stored_before_hint",
    "gateway.submitted_before_answer",
    "sources.submitted_before_recorded",
    "sources.recorded_before_arrival",
    "sources.reported_before_moved",
    "sources.moved_before_settled",
]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("leave", [False, True], ids=["moved", "left"])
async def test_broken_off_anywhere(world: World, point: str, monkeypatch: pytest.MonkeyPatch, *, leave: bool) -> None:
    source = await world.source(after_import="leave" if leave else "move")
    for number in range(3):
        put(world.folder / f"{number}.csv", CSV + b"B%d,Bolt\n" % number, 1_700_000_000 + number)
    armed = failpoints._armed(f"{point}:raise")
    for turn in range(4):
        poller = world.poller(f"poller {turn}")
        with monkeypatch.context() as patch:
            if turn != 1:
                patch.setattr(failpoints, "_points", armed)
            await world.look(poller, source["id"], 2)
        await world.complete()
    await world.all_put_away(world.poller("last"), source["id"])
    assert set((await world.states(source["id"])).values()) == {"imported"}
    assert len(await world.entries(source["id"])) == 3
    runs = await world.runs()
    assert len({run["file"]["sha256"] for run in runs}) == len(runs) == 3
    if not leave:
        assert len(list((world.folder / "done").iterdir())) == 6
    left = {each.name for each in world.folder.iterdir() if each.is_file()}
    assert left == ({"0.csv", "1.csv", "2.csv"} if leave else set())
