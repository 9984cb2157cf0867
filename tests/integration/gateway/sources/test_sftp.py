"""SFTP servers: who they are, where they are, and that each file is imported once whatever they do."""

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_network
from pathlib import Path

import asyncssh
import pytest

from services.gateway.sources.connecting import connected
from services.gateway.sources.places import FaultCode, SourceFault
from services.gateway.sources.sftp import Login, Patience, open_sftp
from tests.integration.gateway.sources.servers import (
    PASSWORD,
    Cutter,
    Server,
    asyncssh_server,
    line,
    new_key,
    openssh_server,
)
from tests.integration.gateway.sources.world import World, put
from tests.integration.gateway.steps import CSV, create_template, source_body

SERVERS = ["asyncssh", pytest.param("openssh", marks=pytest.mark.sshd)]


@pytest.fixture(params=SERVERS)
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    home, files = tmp_path / "home", tmp_path / "sshd"
    home.mkdir()
    files.mkdir()
    if request.param == "openssh":
        async with openssh_server(home, files) as running:
            yield running
    else:
        async with asyncssh_server(home) as running:
            yield running


async def test_a_file_becomes_a_run_and_is_moved_with_a_report(world: World, server: Server) -> None:
    source = await world.source(**server.body(pattern="*.csv", subdirectories=True))
    for secret in (PASSWORD, "PRIVATE KEY", "credentials"):
        assert secret not in str(source)
    put(server.home / "a.csv")
    put(server.home / "below" / "b.csv", CSV + b"B1,Bolt\n")
    put(server.home / "notes.txt")
    await world.all_put_away(world.poller(), source["id"])
    assert await world.states(source["id"]) == {"a.csv": "imported", "below/b.csv": "imported"}
    assert sorted(run["file"]["name"] for run in await world.runs()) == ["a.csv", "b.csv"]
    assert sorted(each.name for each in server.home.iterdir()) == ["below", "done", "failed", "notes.txt"]
    moved = sorted(each.name.partition("-")[2] for each in (server.home / "done").iterdir())
    assert moved == ["a.csv", "a.csv.report.json", "b.csv", "b.csv.report.json"]
    stored = await world.mongo.state["sources"].find_one({"_id": source["id"]})
    assert PASSWORD not in str(stored)
    assert "PRIVATE KEY" not in str(stored)


async def test_growing_vanishing_and_other_kinds_of_files(world: World, server: Server) -> None:
    source = await world.source(**server.body())
    put(server.home / "vanishing.csv")
    poller = world.poller()
    for size in range(1, 4):
        put(server.home / "growing.csv", CSV * size, 1_700_000_000 + size)
        (server.home / "link.csv").unlink(missing_ok=True)
        (server.home / "link.csv").symlink_to("/etc/passwd")
        if size == 1:
            os.mkfifo(server.home / "fifo.csv")
        await world.look(poller, source["id"])
        (server.home / "vanishing.csv").unlink(missing_ok=True)
    assert await world.runs() == []
    async with asyncio.timeout(60):
        await world.look(poller, source["id"])
    [run] = await world.runs()
    assert (run["file"]["name"], run["file"]["size"]) == ("growing.csv", 3 * len(CSV))


async def test_names_of_every_kind(world: World, server: Server) -> None:
    source = await world.source(**server.body())
    names = [b"line\nbreak.csv", b"latin\xe9.csv", "漢字 ü.csv".encode(), b"%41.csv", b"n" * 255]
    for number, name in enumerate(names):
        path = os.fsencode(server.home) + b"/" + name
        with open(path, "wb") as file:  # noqa: ASYNC230, PTH123 - a name that is no text
            file.write(CSV + b"B%d,Bolt\n" % number)
    await world.all_put_away(world.poller(), source["id"])
    states = await world.states(source["id"])
    assert set(states) == {"line%0Abreak.csv", "latin%E9.csv", "漢字 ü.csv", "%2541.csv", "n" * 255}
    assert set(states.values()) == {"imported"}
    assert len(await world.runs()) == len(names)


async def test_connections_that_are_cut_anywhere(world: World, server: Server) -> None:
    """At random bytes, again and again: the source waits with its reason, and each file is imported once."""
    files = 5
    for number in range(files):
        put(server.home / f"{number}.csv", CSV + os.urandom(60_000).hex().encode() + b",%d\n" % number)
    chance = random.Random(7)
    async with Cutter(server.port) as cutter:
        source = await world.source(**server.body(port=cutter.port))
        poller = world.poller()
        seen: set[str] = set()
        for _ in range(25):
            cutter.after = chance.randrange(50, 700_000)
            after = await world.look(poller, source["id"])
            if after.trouble is not None:
                seen.add(after.trouble.code)
                assert after.look_at > after.list_at or after.failures
            await world.complete()
        assert cutter.cuts
        assert seen <= {"CONNECTION_FAILED", "CONNECTION_LOST", "NO_SFTP", "NOT_WRITABLE"}, seen
        cutter.after = None
        await world.all_put_away(poller, source["id"])
    assert len(await world.runs()) == await world.stored_files() == files
    assert set((await world.states(source["id"])).values()) == {"imported"}
    assert (await world.stored(source["id"])).trouble is None


async def test_a_changed_host_key(world: World, tmp_path: Path) -> None:
    """Nothing is sent to whoever has another key: neither the password nor a question for files."""
    key = new_key()
    put(tmp_path / "a.csv")
    async with asyncssh_server(tmp_path, key=key) as first:
        source = await world.source(**first.body())
        port = first.port
    other = new_key()
    async with asyncssh_server(tmp_path, key=other, port=port):
        after = await world.look(world.poller(), source["id"])
        assert after.trouble is not None
        assert after.trouble.code == "HOST_KEY_REFUSED"
        assert other.get_fingerprint() in after.trouble.message
        path = f"/api/v1/sources/{source['id']}"
        tried = (await world.organization.http.post(f"{path}/test")).json()
        assert (tried["ok"], tried["trouble"]["code"]) == (False, "HOST_KEY_REFUSED")
        assert (await world.organization.http.get(path)).json()["status"] == "failing"
        changed = await world.organization.http.patch(path, json={"host_keys": [other.get_fingerprint()]})
        assert changed.status_code == 200, changed.text
        await world.all_put_away(world.poller(), source["id"])
    assert len(await world.runs()) == 1


@pytest.mark.parametrize(
    ("changes", "location", "code"),
    [
        ({"password": "wrong"}, "username", "LOGIN_REFUSED"),
        ({"username": "nobody"}, "username", "LOGIN_REFUSED"),
        ({"host_keys": []}, "host_keys", "HOST_KEY_REFUSED"),
        ({"host_keys": ["SHA256:" + "A" * 43]}, "host_keys", "HOST_KEY_REFUSED"),
        ({"directory": "/missing"}, "directory", "DIRECTORY_NOT_FOUND"),
        ({"host": "10.0.0.1"}, "host", "INVALID"),
        ({"host": "169.254.169.254"}, "host", "INVALID"),
        ({"host": "[::1]"}, "host", "INVALID"),
        ({"host": "0x7f.1"}, "host", "INVALID"),
        ({"host": "host.invalid"}, "host", "NAME_NOT_RESOLVED"),
        ({"port": 1}, "host", "CONNECTION_FAILED"),
        ({"host_keys": ["ssh-ed25519 nonsense"]}, "host_keys[0]", "INVALID"),
        ({"password": None, "private_key": "nonsense"}, "private_key", "INVALID"),
        ({"password": None}, "password", "MISSING"),
    ],
)
async def test_what_keeps_a_source_from_being_used_is_told_when_it_is_saved(
    world: World, tmp_path: Path, changes: dict[str, object], location: str, code: str
) -> None:
    http = world.organization.http
    template = await create_template(http)
    async with asyncssh_server(tmp_path) as server:
        body = source_body(template["id"], **server.body(**changes))
        answer = await http.post("/api/v1/sources", json=body)
    assert answer.status_code == 422, answer.text
    assert [(each["location"], each["code"]) for each in answer.json()["errors"]] == [(f"body.{location}", code)]
    assert PASSWORD not in answer.text
    assert await world.mongo.state["sources"].count_documents({"tenant_id": world.organization.id}) == 0


async def test_logging_in_with_a_key(world: World, tmp_path: Path) -> None:
    own = new_key()
    async with asyncssh_server(tmp_path, authorized=own.convert_to_public()) as server:
        with_key = server.body(password=None, private_key=own.export_private_key().decode())
        source = await world.source(**with_key)
        assert source["authentication"] == "private_key"
        http = world.organization.http
        protected = own.export_private_key("pkcs8-pem", passphrase="secret").decode()
        refused = await http.patch(f"/api/v1/sources/{source['id']}", json={"private_key": protected})
        assert refused.status_code == 422
        assert "passphrase" in refused.text
        other = await http.patch(
            f"/api/v1/sources/{source['id']}", json={"private_key": new_key().export_private_key().decode()}
        )
        assert other.json()["errors"][0]["code"] == "LOGIN_REFUSED"


async def test_stored_credentials_go_to_no_other_server(world: World, tmp_path: Path) -> None:
    http = world.organization.http
    async with asyncssh_server(tmp_path) as server, asyncssh_server(tmp_path) as other:
        source = await world.source(**server.body())
        for changes in ({"port": other.port}, {"host": "127.0.0.2"}, {"username": "other"}):
            answer = await http.patch(f"/api/v1/sources/{source['id']}", json=changes)
            assert [each["location"] for each in answer.json()["errors"]] == ["body.password"]
        moved = {"port": other.port, "host_keys": [other.host_key], "password": PASSWORD}
        answer = await http.patch(f"/api/v1/sources/{source['id']}", json=moved)
        assert answer.status_code == 200, answer.text


class _Endless(asyncssh.SFTPServer):
    """Lists files without end, and names that lead elsewhere."""

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:  # pyright: ignore[reportIncompatibleMethodOverride]
        del path
        attributes = asyncssh.SFTPAttrs(type=1, size=10**15, permissions=0o100644, mtime=1)
        yield asyncssh.SFTPName(b"../../etc/passwd", attrs=attributes)
        number = 0
        while True:
            yield asyncssh.SFTPName(b"%d.csv" % number, attrs=attributes)
            number += 1


async def test_a_server_that_lists_without_end(world: World, tmp_path: Path) -> None:
    async with asyncssh_server(
        tmp_path, sftp=lambda channel: _Endless(channel, chroot=os.fsencode(tmp_path))
    ) as server:
        source = await world.source(**server.body(after_import="leave"))
        async with asyncio.timeout(60):
            after = await world.look(world.poller(most_entries=3_000), source["id"])
    assert after.trouble is not None
    assert after.trouble.code == "TOO_MANY_ENTRIES"
    assert await world.entries(source["id"]) == []


# --- where connections go -----------------------------------------------------------------------


async def test_a_name_is_resolved_once_and_each_of_its_addresses_is_judged() -> None:
    """What is connected to is what was checked: a name that leads elsewhere at the next question leads nowhere."""
    asked: list[str] = []
    answers = [["127.0.0.1"], ["127.0.0.2"]]

    async def resolver(host: str, port: int) -> Sequence[str]:
        del port
        asked.append(host)
        return answers.pop(0)

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        made = await connected("sftp.example", port, [ip_network("127.0.0.1/32")], 30, resolver)
        assert made.getpeername() == ("127.0.0.1", port)
        made.close()
        with pytest.raises(SourceFault) as refused:
            await connected("sftp.example", port, [ip_network("127.0.0.1/32")], 30, resolver)
    assert refused.value.code is FaultCode.ADDRESS_REFUSED
    assert asked == ["sftp.example"] * 2


@pytest.mark.parametrize(
    "inside", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%eth0"]
)
async def test_one_refused_address_refuses_the_host(inside: str) -> None:
    async def resolver(host: str, port: int) -> Sequence[str]:
        del host, port
        return ["8.8.8.8", inside]

    with pytest.raises(SourceFault) as refused:
        await connected("sftp.example", 22, [], 30, resolver)
    assert refused.value.code is FaultCode.ADDRESS_REFUSED


async def test_a_server_that_says_nothing() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        login = Login("127.0.0.1", listening.getsockname()[1], "acme", [line(new_key())], PASSWORD)
        with pytest.raises(SourceFault) as refused:
            async with (
                asyncio.timeout(60),
                open_sftp(
                    login,
                    "/",
                    subdirectories=False,
                    put_away=frozenset(),
                    most=10,
                    allowed_networks=[ip_network("127.0.0.0/8")],
                    patience=Patience(0.5, 0.5),
                ),
            ):
                pass
    assert refused.value.at == "host"
