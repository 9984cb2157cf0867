"""SFTP servers on this machine: asyncssh's in the test's own process, and OpenSSH's where it is installed."""

import asyncio
import contextlib
import getpass
import os
import signal
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import asyncssh

from tests.sshd import sshd

PASSWORD = "correct horse"


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        home: the directory that it shows.
        host_key: the line of its public key.
        login: members of a source that log in there.
    """

    port: int
    home: Path
    host_key: str
    login: dict[str, Any]
    directory: str

    def body(self, **changes: object) -> dict[str, Any]:
        return {
            "type": "sftp",
            "host": "127.0.0.1",
            "port": self.port,
            "host_keys": [self.host_key],
            "directory": self.directory,
            **self.login,
            **changes,
        }


class _Visitors(asyncssh.SSHServer):
    """Lets one user in, by password or by key."""

    def __init__(self, authorized: asyncssh.SSHKey | None) -> None:
        self._authorized = authorized

    def begin_auth(self, username: str) -> bool:
        del username
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("acme", PASSWORD)

    def public_key_auth_supported(self) -> bool:
        return self._authorized is not None

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == "acme" and self._authorized is not None and key == self._authorized


def new_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


def line(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


@asynccontextmanager
async def asyncssh_server(
    home: Path,
    *,
    key: asyncssh.SSHKey | None = None,
    port: int = 0,
    authorized: asyncssh.SSHKey | None = None,
    sftp: Callable[[asyncssh.SSHServerChannel[bytes]], asyncssh.SFTPServer] | None = None,
) -> AsyncGenerator[Server]:
    """asyncssh's own server."""
    host_key = key or new_key()

    def shown(channel: asyncssh.SSHServerChannel[bytes]) -> asyncssh.SFTPServer:
        return asyncssh.SFTPServer(channel, chroot=os.fsencode(home))

    listening = await asyncssh.listen(
        "127.0.0.1",
        port,
        server_factory=lambda: _Visitors(authorized),
        server_host_keys=[host_key],
        sftp_factory=sftp or shown,
        config=[],
    )
    try:
        login = {"username": "acme", "password": PASSWORD}
        yield Server(listening.get_port(), home, line(host_key), login, "/")
    finally:
        listening.close()
        await listening.wait_closed()


@asynccontextmanager
async def openssh_server(home: Path, files: Path) -> AsyncGenerator[Server]:
    """OpenSSH's ``sshd`` as whoever runs the tests, with a key to log in.

    Args:
        home: the directory with files.
        files: where its keys and configuration are put.
    """
    program = sshd()
    assert program is not None
    host_key, own = new_key(), new_key()
    port = await asyncio.to_thread(_configure, files, host_key, own)
    process = await asyncio.create_subprocess_exec(program, "-D", "-E", f"{files}/log", "-f", f"{files}/sshd_config")
    try:
        async with asyncio.timeout(60):
            while not await _answers(port):
                assert process.returncode is None, (files / "log").read_text()
                await asyncio.sleep(0.05)
        login = {"username": getpass.getuser(), "private_key": own.export_private_key().decode()}
        yield Server(port, home, line(host_key), login, str(home))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


def _configure(files: Path, host_key: asyncssh.SSHKey, own: asyncssh.SSHKey) -> int:
    files.chmod(0o700)
    host_key.write_private_key(files / "host_key")
    (files / "host_key").chmod(0o600)
    (files / "authorized_keys").write_text(line(own) + "\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (files / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {files}/host_key\nPidFile none\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {files}/authorized_keys\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        "Subsystem sftp internal-sftp\nLogLevel ERROR\n"
    )
    with contextlib.suppress(PermissionError):
        Path("/run/sshd").mkdir(exist_ok=True)  # where it separates its privileges, as root
    return port


async def _answers(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    greeting = await reader.read(4)
    writer.close()
    return greeting == b"SSH-"


class Cutter:
    """Passes a server's bytes on, and cuts connections after so many of them.

    Attributes:
        after: bytes of the server that each next connection may see; ``None`` for all.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.after: int | None = None
        self.cuts = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        assert self._server is not None
        return self._server.sockets[0].getsockname()[1]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self.after
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, counted: bool) -> None:
            nonlocal left
            with contextlib.suppress(OSError):
                while chunk := await source.read(65_536):
                    if counted and left is not None:
                        chunk, left = chunk[:left], left - len(chunk)
                    sink.write(chunk)
                    await sink.drain()
                    if counted and left is not None and left <= 0:
                        self.cuts += 1
                        break
            for each in (writer, there_writer):
                each.transport.abort()

        for task in (
            asyncio.create_task(pump(reader, there_writer, counted=False)),
            asyncio.create_task(pump(there_reader, writer, counted=True)),
        ):
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
