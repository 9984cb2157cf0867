"""``/api/v1/sources``: what is told of sources, and what can be done with them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.gateway.sources.world import World, changed, put
from tests.integration.gateway.steps import assert_error, create_template, source_body


async def test_a_source_is_shown_with_how_it_does(world: World) -> None:
    http = world.organization.http
    source = await world.source(cron="0 6 * * mon-fri", time_zone="Europe/Berlin", every_seconds=None)
    shown = (await http.get(f"/api/v1/sources/{source['id']}")).json()
    assert shown == source
    assert (shown["status"], shown["type"], shown["after_import"]) == ("active", "directory", "move")
    await world.look(world.poller(), source["id"])
    after = (await http.get(f"/api/v1/sources/{source['id']}")).json()
    assert after["looked_at"]
    at = datetime.fromisoformat(after["next_look_at"])
    assert at > datetime.now(UTC)
    assert (at.minute, at.weekday() < 5) == (0, True)
    assert [each["id"] for each in (await http.get("/api/v1/sources")).json()["data"]] == [source["id"]]


async def test_pausing_resuming_looking_and_removing(world: World) -> None:
    http, poller = world.organization.http, world.poller()
    source = await world.source(every_seconds=86_400)
    path = f"/api/v1/sources/{source['id']}"
    put(world.folder / "a.csv")
    assert (await http.post(f"{path}/pause")).json()["status"] == "paused"
    assert_error(await http.post(f"{path}/run"), 409, "SOURCE_PAUSED")
    await world.look(poller, source["id"])
    assert await world.entries(source["id"]) == []
    assert (await http.post(f"{path}/resume")).json()["status"] == "active"
    for _ in range(2):
        assert (await http.post(f"{path}/run")).status_code == 202
        assert (await world.stored(source["id"])).list_at <= datetime.now(UTC)
        await world.look(poller, source["id"])
    assert len(await world.runs()) == 1
    [file] = (await http.get(f"{path}/files?status=submitted")).json()["data"]
    assert (file["path"], file["status"], file["run_id"]) == ("a.csv", "submitted", (await world.runs())[0]["_id"])
    assert (await http.get(f"{path}/files?status=seen")).json()["data"] == []
    tried = (await http.post(f"{path}/test")).json()
    assert tried == {"ok": True, "trouble": None, "files": ["a.csv"]}
    assert (await http.delete(path)).status_code == 204
    assert_error(await http.get(path), 404, "SOURCE_NOT_FOUND")
    assert await world.entries(source["id"]) == []
    assert len(await world.runs()) == 1


async def test_pages_of_files(world: World) -> None:
    source = await world.source()
    for number in range(5):
        put(world.folder / f"{number}.csv", seconds=1_700_000_000 + number)
    await world.look(world.poller(), source["id"])
    seen: list[str] = []
    after = ""
    while True:
        page = (await world.organization.http.get(f"/api/v1/sources/{source['id']}/files?limit=2{after}")).json()
        seen += [each["path"] for each in page["data"]]
        if page["next_after"] is None:
            break
        after = f"&after={page['next_after']}"
    assert sorted(seen) == [f"{number}.csv" for number in range(5)]


@pytest.mark.parametrize(
    ("changes", "locations"),
    [
        ({"name": ""}, ["body.name"]),
        ({"every_seconds": 1}, ["body.every_seconds"]),
        ({"every_seconds": 60, "cron": "0 6 * * *"}, ["body.every_seconds"]),
        ({"cron": "nonsense"}, ["body.cron"]),
        ({"expected_by": "0 0 30 2 *", "time_zone": "Nowhere"}, ["body.expected_by", "body.time_zone"]),
        ({"done_directory": "../x"}, ["body.done_directory"]),
        ({"done_directory": "failed"}, ["body.failed_directory"]),
        ({"marker": "/x"}, ["body.marker"]),
        ({"directory": "a\0b"}, ["body.directory"]),
        ({"host": "example.com", "password": "x"}, ["body.host", "body.password"]),
        ({"type": "ftp"}, ["body.type"]),
        ({"unknown": 1}, ["body.unknown"]),
        ({"type": "sftp"}, ["body.host", "body.username", "body.password"]),
    ],
)
async def test_what_cannot_be_a_source(world: World, changes: dict[str, Any], locations: list[str]) -> None:
    http = world.organization.http
    template = await create_template(http)
    answer = await http.post("/api/v1/sources", json=source_body(template["id"], **changes))
    assert answer.status_code == 422, answer.text
    assert sorted(each["location"] for each in answer.json()["errors"]) == sorted(locations)


async def test_a_broken_source_backs_off_alone(world: World) -> None:
    http, poller = world.organization.http, world.poller()
    (world.folder / "in").mkdir()
    broken = await world.source(directory="in")
    other = await world.source(name="other", directory="")
    for directory in ("done", "failed", ""):
        (world.folder / "in" / directory).rmdir()
    waits: list[timedelta] = []
    for _ in range(4):
        after = await world.look(poller, broken["id"])
        assert after.trouble is not None
        assert after.looked_at is not None
        waits.append(after.look_at - after.looked_at)
    assert after.trouble.code == "DIRECTORY_NOT_FOUND"
    assert [round(each.total_seconds()) for each in waits] == [10, 20, 40, 80]
    shown = (await http.get(f"/api/v1/sources/{broken['id']}")).json()
    assert (shown["status"], shown["failures"], shown["trouble"]["code"]) == ("failing", 4, "DIRECTORY_NOT_FOUND")
    put(world.folder / "a.csv")
    await world.look(poller, other["id"], 2)
    assert len(await world.runs()) == 1
    (world.folder / "in").mkdir()
    after = await world.look(poller, broken["id"])
    assert (after.trouble, after.failures, after.failing_since) == (None, 0, None)
    looks = {outcome: world.counted("source_looks_total", outcome=outcome) for outcome in ("done", "failed", "put_off")}
    assert looks == {"done": 3, "failed": 4, "put_off": 0}
    assert world.counted("source_faults_total", code="DIRECTORY_NOT_FOUND") == 4
    assert world.counted("source_look_duration_seconds_count") == 7


async def test_a_template_that_is_gone_is_a_fault_of_the_source(world: World) -> None:
    http = world.organization.http
    source = await world.source()
    put(world.folder / "a.csv")
    assert (await http.delete(f"/imports/templates/{source['template_id']}")).status_code in {200, 204}
    after = await world.look(world.poller(), source["id"], 2)
    assert after.trouble is not None
    assert after.trouble.code == "TEMPLATE_NOT_USABLE"
    assert await world.states(source["id"]) == {"a.csv": "seen"}
    other = await create_template(http)
    await http.patch(f"/api/v1/sources/{source['id']}", json={"template_id": other["id"]})
    await world.all_put_away(world.poller(), source["id"])
    assert len(await world.runs()) == 1


async def test_an_expected_file_that_is_missing_is_told_once(world: World) -> None:
    http, poller = world.organization.http, world.poller()
    hears = (await http.post("/api/v1/webhook-endpoints", json={"url": "https://example.com/a"})).json()
    only = {"url": "https://example.com/b", "event_types": ["import.completed"]}
    hears_not = (await http.post("/api/v1/webhook-endpoints", json=only)).json()
    source = await world.source(expected_by="0 * * * *")
    stored = await world.stored(source["id"])
    assert stored.expect_at is not None
    assert stored.expect_at > datetime.now(UTC)

    async def time_is_over(hours: int) -> datetime:
        at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours)
        change = {"expect_at": at, "expect_since": at - timedelta(hours=1)}
        await world.mongo.state["sources"].update_one({"_id": source["id"]}, {"$set": change})
        return at

    at = await time_is_over(2)
    for _ in range(3):
        await world.look(poller, source["id"])
    after = await world.stored(source["id"])
    assert after.missing_since == at
    assert after.expect_at is not None
    assert after.expect_at > datetime.now(UTC)
    deliveries = await world.mongo.state["webhook_deliveries"].find({"tenant_id": world.organization.id}).to_list()
    assert [each["event_type"] for each in deliveries] == ["source.file_missing"]
    assert [each["endpoint_id"] for each in deliveries] == [hears["id"]]
    shown = (await http.get(f"/api/v1/webhook-deliveries/{deliveries[0]['_id']}")).json()
    assert shown["body"]["data"]["source_id"] == source["id"]
    assert shown["body"]["data"]["expected_at"] == f"{at:%Y-%m-%dT%H:%M:%SZ}"
    assert hears_not["id"] not in str(deliveries)
    put(world.folder / "a.csv")
    await world.all_put_away(poller, source["id"])
    assert (await world.stored(source["id"])).missing_since is None
    await time_is_over(0)
    await world.look(poller, source["id"])
    assert await world.mongo.state["webhook_deliveries"].count_documents({"tenant_id": world.organization.id}) == 1


async def test_two_pollers_tell_of_a_missing_file_once(world: World) -> None:
    http = world.organization.http
    await http.post("/api/v1/webhook-endpoints", json={"url": "https://example.com/a"})
    source = await world.source(expected_by="0 * * * *")
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    change = {"expect_at": at, "expect_since": at - timedelta(hours=1)}
    await world.mongo.state["sources"].update_one({"_id": source["id"]}, {"$set": change})
    stored = await world.stored(source["id"])
    for name in ("one", "two"):  # both have read it before either has told
        await world.poller(name)._expect(stored, datetime.now(UTC), 0)  # pyright: ignore[reportPrivateUsage]
    assert world.counted("source_files_missing_total") == 1
    assert await world.mongo.state["webhook_deliveries"].count_documents({"tenant_id": world.organization.id}) == 1


async def test_a_look_that_is_asked_for_meanwhile_is_made(world: World) -> None:
    http = world.organization.http
    source = await world.source(every_seconds=86_400)

    def asking(place: Any) -> Any:  # noqa: ANN401 - a place
        async def entries() -> Any:  # noqa: ANN401 - portions
            await http.post(f"/api/v1/sources/{source['id']}/run")
            async for portion in place.entries():
                yield portion

        return changed(place, entries=entries)

    await world.look(world.poller(bend=asking), source["id"])
    assert (await world.stored(source["id"])).look_at <= datetime.now(UTC)
