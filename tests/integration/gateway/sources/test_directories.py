"""Files of watched directories: each is imported exactly once, and nothing outside of the folder is ever read."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.gateway.sources.places import Entry, FaultCode, Place, SourceFault
from services.gateway.sources.polling import Pace
from tests.integration.gateway.conftest import MAX_UPLOAD_BYTES, SOURCES, Organization
from tests.integration.gateway.sources.world import World, changed, put
from tests.integration.gateway.steps import CSV


async def test_a_file_becomes_a_run_and_is_moved_with_a_report(world: World) -> None:
    source = await world.source(pattern="*.csv")
    put(world.folder / "a.csv")
    put(world.folder / "notes.txt")
    poller = world.poller()
    await world.look(poller, source["id"])
    assert await world.states(source["id"]) == {"a.csv": "seen"}
    await world.look(poller, source["id"])
    [run] = await world.runs()
    assert (run["file"]["name"], run["template"]["auto_execute"]) == ("a.csv", True)
    assert run["started_by"]["subject"] == f"source:{source['id']}"
    await world.all_put_away(poller, source["id"])
    assert await world.states(source["id"]) == {"a.csv": "imported"}
    assert sorted(each.name for each in world.folder.iterdir()) == ["done", "failed", "notes.txt"]
    [moved] = (world.folder / "done").glob("*-a.csv")
    assert moved.read_bytes() == CSV
    told = world.report("done")
    assert (told["file"], told["outcome"], told["run"]) == ("a.csv", "imported", f"/imports/runs/{run['_id']}")
    assert told["counts"]["rows"] == 0
    assert len(await world.runs()) == 1


@pytest.mark.parametrize("ended", ["suspended_at", "deletion.requested_at"])
async def test_nothing_is_taken_for_an_organization_that_is_suspended_or_goes(world: World, ended: str) -> None:
    source = await world.source()
    put(world.folder / "a.csv")
    poller, opened = world.poller(), list[Place]()

    def noted(place: Place) -> Place:
        opened.append(place)
        return place

    await world.look(poller, source["id"])
    organizations = world.mongo.state["organizations"]
    await organizations.update_one({"_id": world.organization.id}, {"$set": {ended: datetime.now(UTC)}})
    after = await world.look(world.poller("two", bend=noted), source["id"], times=3)
    assert (await world.runs(), await world.stored_files(), opened) == ([], 0, [])
    assert after.trouble is not None
    assert after.trouble.code == "ORGANIZATION_SUSPENDED"
    assert await world.states(source["id"]) == {"a.csv": "seen"}
    await organizations.update_one({"_id": world.organization.id}, {"$unset": {ended.partition(".")[0]: 1}})
    await world.all_put_away(poller, source["id"])
    assert await world.states(source["id"]) == {"a.csv": "imported"}


async def test_a_growing_file_waits_until_it_stays_as_it_is(world: World) -> None:
    source = await world.source()
    poller, file = world.poller(), world.folder / "a.csv"
    for size in range(1, 5):
        put(file, CSV * size, 1_700_000_000 + size)
        await world.look(poller, source["id"])
        assert await world.runs() == []
    await world.look(poller, source["id"])
    [run] = await world.runs()
    assert run["file"]["size"] == 4 * len(CSV)
    assert list(await world.states(source["id"])) == ["a.csv"]


async def test_a_file_that_grows_while_it_is_read_is_taken_as_a_whole_later(world: World) -> None:
    source = await world.source()
    file = world.folder / "a.csv"
    put(file)
    grown: list[bool] = []

    def growing(place: Place) -> Place:
        async def content(entry: Entry) -> AsyncGenerator[bytes]:
            async for chunk in place.content(entry):
                yield chunk
                if not grown:
                    grown.append(True)
                    put(file, CSV * 2, 1_700_000_009)

        return changed(place, content=content)

    poller = world.poller(bend=growing)
    await world.look(poller, source["id"], 2)
    assert grown
    assert await world.runs() == []
    assert await world.stored_files() == 0
    await world.all_put_away(poller, source["id"])
    [run] = await world.runs()
    assert run["file"]["size"] == 2 * len(CSV)


async def test_a_file_that_is_replaced_before_it_is_moved_is_imported_too(world: World) -> None:
    source = await world.source()
    poller, file = world.poller(), world.folder / "a.csv"
    put(file)
    await world.look(poller, source["id"], 2)
    put(file, CSV + b"A2,Bolt\n", 1_700_000_009)
    await world.all_put_away(poller, source["id"])
    assert sorted(run["file"]["size"] for run in await world.runs()) == [len(CSV), len(CSV) + 8]
    assert [each.outcome and each.outcome.value for each in await world.entries(source["id"])] == ["imported"] * 2
    assert len(list((world.folder / "done").glob("*-a.csv"))) == 1


async def test_a_vanishing_file(world: World) -> None:
    source = await world.source()
    poller, file = world.poller(), world.folder / "a.csv"
    put(file)
    await world.look(poller, source["id"])

    def vanishing(place: Place) -> Place:
        async def content(entry: Entry) -> AsyncGenerator[bytes]:
            file.unlink()
            async for chunk in place.content(entry):
                yield chunk

        return changed(place, content=content)

    await world.look(world.poller(bend=vanishing), source["id"])
    assert await world.states(source["id"]) == {"a.csv": "vanished"}
    assert (await world.runs(), await world.stored_files()) == ([], 0)
    put(file)  # it comes after all
    await world.all_put_away(poller, source["id"])
    assert len(await world.runs()) == 1


async def test_what_is_no_regular_file_is_passed_over(world: World) -> None:
    source = await world.source(subdirectories=True)
    secret = Path(SOURCES.name) / "other" / "secret.csv"
    put(secret)
    folder = world.folder
    (folder / "link.csv").symlink_to(secret)
    (folder / "below").symlink_to(secret.parent, target_is_directory=True)
    (folder / "etc.csv").symlink_to("/etc/passwd")
    os.mkfifo(folder / "fifo.csv")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.csv"))
        put(folder / "real" / "a.csv")
        await world.all_put_away(world.poller(), source["id"])
    assert await world.states(source["id"]) == {"real/a.csv": "imported"}
    assert len(await world.runs()) == 1
    assert secret.exists()


@pytest.mark.parametrize("kind", ["symbolic link", "FIFO", "directory of others"])
async def test_what_takes_the_place_of_a_file_is_not_read(world: World, kind: str) -> None:
    """Between the listing and the reading: it is opened by descriptors, without following and without waiting."""
    source = await world.source(subdirectories=True)
    file = world.folder / "below" / "a.csv"
    put(file)
    other = Path(SOURCES.name) / f"other-{source['id']}" / "a.csv"
    put(other)

    def replacing(place: Place) -> Place:
        async def content(entry: Entry) -> AsyncGenerator[bytes]:
            file.unlink()
            if kind == "symbolic link":
                file.symlink_to(other)
            elif kind == "FIFO":
                os.mkfifo(file)
            else:
                file.parent.rmdir()
                file.parent.symlink_to(other.parent, target_is_directory=True)
            async for chunk in place.content(entry):
                yield chunk

        return changed(place, content=content)

    async with asyncio.timeout(60):
        await world.look(world.poller(bend=replacing), source["id"], 2)
    assert await world.states(source["id"]) == {"below/a.csv": "vanished"}
    assert await world.runs() == []
    assert other.exists()


@pytest.mark.parametrize("directory", ["../other", "a/../../other", "link", "/etc", "missing", "below/link"])
async def test_no_path_leads_out_of_the_folder(world: World, acme: Organization, directory: str) -> None:
    other = Path(SOURCES.name) / "other-folder"
    other.mkdir(exist_ok=True)
    (world.folder / "below").mkdir()
    (world.folder / "link").symlink_to(other, target_is_directory=True)
    (world.folder / "below" / "link").symlink_to("/etc", target_is_directory=True)
    template = (await acme.http.post("/imports/templates", json=_TEMPLATE)).json()["id"]
    body = {"name": "x", "type": "directory", "template_id": template, "directory": directory}
    answer = await acme.http.post("/api/v1/sources", json=body)
    assert answer.status_code == 422, answer.text
    assert [each["location"] for each in answer.json()["errors"]] == ["body.directory"]
    assert not list(other.iterdir())


_TEMPLATE = {"name": "p", "target_resource": "p", "field_mapping": [{"source": "sku", "target": "sku"}]}


async def test_a_marker_says_that_a_file_is_complete(world: World) -> None:
    source = await world.source(marker=".done", stable_seconds=3600)
    put(world.folder / "a.csv")
    put(world.folder / "b.csv")
    put(world.folder / "b.csv.done", b"")
    poller = world.poller()
    await world.look(poller, source["id"])
    await world.all_put_away(poller, source["id"])
    assert await world.states(source["id"]) == {"b.csv": "imported"}
    assert sorted(each.name for each in world.folder.iterdir() if each.is_file()) == ["a.csv"]


async def test_files_that_are_left_are_remembered_by_what_they_hold(world: World) -> None:
    source = await world.source(after_import="leave")
    file, poller = world.folder / "a.csv", world.poller()
    put(file)
    await world.all_put_away(poller, source["id"])
    await world.look(poller, source["id"], 3)
    put(file, seconds=1_700_000_100)  # the same, as if touched
    await world.all_put_away(poller, source["id"])
    assert (len(await world.runs()), await world.stored_files()) == (1, 1)
    put(file, CSV + b"A2,Bolt\n", seconds=1_700_000_200)
    await world.look(poller, source["id"], 2)
    assert len(await world.runs()) == 2
    assert [each.name for each in world.folder.iterdir()] == ["a.csv"]
    assert {each: world.counted("source_files_total", outcome=each) for each in ("taken", "unchanged", "refused")} == {
        "taken": 2, "unchanged": 1, "refused": 0,
    }  # fmt: skip


async def test_a_file_that_is_put_back_is_another_arrival(world: World) -> None:
    source = await world.source()
    file, poller = world.folder / "a.csv", world.poller()
    for number in range(1, 4):
        put(file)
        await world.all_put_away(poller, source["id"])
        assert len(await world.runs()) == number
    assert [each.arrival for each in await world.entries(source["id"])] == [0, 1, 2]


async def test_names_of_every_kind(world: World) -> None:
    source = await world.source()
    names = [b"line\nbreak.csv", b"latin\xe9.csv", b"%41.csv", "漢字 ü.csv".encode(), b"-rf.csv", b"n" * 255, b" .csv"]
    for number, name in enumerate(names):
        path = os.fsencode(world.folder) + b"/" + name
        with open(path, "wb") as file:  # noqa: ASYNC230, PTH123 - a name that is no text
            file.write(CSV + b"B%d,Bolt\n" % number)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    await world.all_put_away(world.poller(), source["id"])
    states = await world.states(source["id"])
    assert set(states) == {
        "line%0Abreak.csv", "latin%E9.csv", "%2541.csv", "漢字 ü.csv", "-rf.csv", "n" * 255, " .csv",
    }  # fmt: skip
    assert set(states.values()) == {"imported"}
    assert len(await world.runs()) == len(names)
    assert len(list((world.folder / "done").iterdir())) == 2 * len(names)
    shown = (await world.organization.http.get(f"/api/v1/sources/{source['id']}/files")).json()["data"]
    assert {each["path"] for each in shown} == set(states)


async def test_files_with_which_something_is_wrong(world: World) -> None:
    source = await world.source()
    put(world.folder / "large.csv", b"x" * (MAX_UPLOAD_BYTES + 1))
    put(world.folder / "picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(100))
    await world.all_put_away(world.poller(), source["id"])
    assert await world.states(source["id"]) == {"large.csv": "refused", "picture.csv": "refused"}
    assert (await world.runs(), await world.stored_files()) == ([], 0)
    assert world.counted("source_files_total", outcome="refused") == 2
    entries = await world.entries(source["id"])
    assert [each.trouble and each.trouble.code for each in entries] == ["FILE_TOO_LARGE", "UNSUPPORTED_FILE"]
    assert len(list((world.folder / "failed").iterdir())) == 4


async def test_ten_thousand_files_are_taken_oldest_first(world: World) -> None:
    source = await world.source(subdirectories=True, pattern="*.csv")
    for number in range(10_000):
        path = world.folder / f"{number % 10}" / f"{number:05d}.csv"
        put(path, b"", 1_700_000_000 + (number * 7_919) % 10_000)
    poller = world.poller(pace=Pace(files_a_look=20))
    after = await world.look(poller, source["id"], 2)
    entries = await world.entries(source["id"])
    assert len(entries) == 20  # nothing is stored of the others
    assert [each.modified_ns // 10**9 for each in sorted(entries, key=lambda each: each.modified_ns)] == list(
        range(1_700_000_000, 1_700_000_020)
    )
    assert len(await world.runs()) == 20
    assert after.trouble is None
    await world.look(poller, source["id"], 2)
    assert max(each.modified_ns // 10**9 for each in await world.entries(source["id"])) == 1_700_000_039
    failed = await world.look(world.poller(most_entries=9_000), source["id"])
    assert failed.trouble is not None
    assert failed.trouble.code == "TOO_MANY_ENTRIES"


async def test_a_report_that_finds_no_room(world: World) -> None:
    """The import stays one; the file is moved when there is room again, or left in the end."""
    source = await world.source()
    put(world.folder / "a.csv")
    full = [True]

    def small(place: Place) -> Place:
        async def write(path: bytes, content: bytes) -> None:
            if full and path.endswith(b".json"):
                raise SourceFault(FaultCode.NO_SPACE, "there is no space left")
            await place.write(path, content)

        return changed(place, write=write)

    poller = world.poller(bend=small)
    await world.look(poller, source["id"], 2)
    await world.complete()
    after = await world.look(poller, source["id"], 2)
    assert after.trouble is None  # the source can be used
    [entry] = await world.entries(source["id"])
    assert entry.trouble is not None
    assert (entry.state.value, entry.trouble.code, entry.attempts) == ("submitted", "NO_SPACE", 2)
    full.clear()
    await world.look(poller, source["id"])
    assert await world.states(source["id"]) == {"a.csv": "imported"}
    assert len(list((world.folder / "done").iterdir())) == 2
    full.append(True)
    put(world.folder / "b.csv", CSV * 2)
    await world.look(poller, source["id"], 2)
    await world.complete()
    await world.look(poller, source["id"], 7)
    assert await world.states(source["id"]) == {"a.csv": "imported", "b.csv": "imported"}
    assert (world.folder / "b.csv").exists()
    assert len(await world.runs()) == 2


async def test_two_pollers_take_each_file_once(world: World) -> None:
    source = await world.source()
    for number in range(30):
        put(world.folder / f"{number}.csv", CSV + b"B%d,Bolt\n" % number, 1_700_000_000 + number)
    pollers = [world.poller("one"), world.poller("two")]
    for _ in range(4):
        await asyncio.gather(*(world.look(each, source["id"]) for each in pollers * 2))
    assert len(await world.runs()) == 30
    await world.all_put_away(pollers[0], source["id"])
    assert len(await world.runs()) == await world.stored_files() == 30


async def test_a_poller_that_has_lost_its_source_changes_nothing(world: World) -> None:
    """It stands still while another one takes the file, and goes on then."""
    source = await world.source()
    put(world.folder / "a.csv")
    await world.look(world.poller(), source["id"])
    reached, go_on = asyncio.Event(), asyncio.Event()

    def standing_still(place: Place) -> Place:
        async def content(entry: Entry) -> AsyncGenerator[bytes]:
            async for chunk in place.content(entry):
                yield chunk
            reached.set()
            await go_on.wait()

        return changed(place, content=content)

    slow = asyncio.create_task(world.look(world.poller("slow", bend=standing_still), source["id"]))
    async with asyncio.timeout(60):
        await reached.wait()
    await world.mongo.state["sources"].update_one({"_id": source["id"]}, {"$set": {"lease": None}})
    await world.look(world.poller("quick"), source["id"])
    assert len(await world.runs()) == 1
    go_on.set()
    await slow
    assert len(await world.runs()) == await world.stored_files() == 1
    await world.all_put_away(world.poller(), source["id"])
    assert await world.states(source["id"]) == {"a.csv": "imported"}
