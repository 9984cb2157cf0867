"""A directory on an SFTP server, over a connection that is checked: its address, the server's key, and how long each
answer takes. Nothing of this machine's own SSH configuration, keys or agent is used."""

import asyncio
import base64
import logging
import stat
from collections.abc import AsyncGenerator, Collection, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, NoReturn, Protocol, cast

import asyncssh

from libs.egress.rules import IPNetwork
from services.gateway.sources.connecting import Resolver, connected, system_resolver
from services.gateway.sources.names import MAX_NAME_BYTES, MAX_PATH_BYTES, readable, usable_name
from services.gateway.sources.places import (
    ENTRIES_AT_A_TIME,
    MAX_DEPTH,
    READ_BYTES,
    Entry,
    FaultCode,
    FileChangedError,
    FileGoneError,
    SourceFault,
)

FINGERPRINT: Final = "SHA256:"
_NS: Final = 1_000_000_000
_HOST_KEY_KINDS: Final = (
    "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256",
)  # fmt: skip
_OPENSSH: Final = b"openssh-key-v1\0"
_NO_CIPHER: Final = b"\0\0\0\x04none"
_GONE: Final = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)
_NOT_ALLOWED: Final = (asyncssh.SFTPPermissionDenied, asyncssh.SFTPWriteProtect, asyncssh.SFTPCannotDelete)
_NO_ROOM: Final = (asyncssh.SFTPNoSpaceOnFilesystem, asyncssh.SFTPQuotaExceeded)
_LOST: Final = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.DisconnectError, OSError)
_KINDS: Final = {1: stat.S_IFREG, 2: stat.S_IFDIR}
"""Types of files by their numbers since version 4 of the protocol."""


# It tells every connection and log-in.
logging.getLogger("asyncssh").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Login:
    """Where a server is, how it proves who it is, and how to log in there.

    Attributes:
        host_keys: fingerprints or public keys.
        private_key: in one of OpenSSH's formats, not encrypted.
    """

    host: str
    port: int
    username: str
    host_keys: Sequence[str]
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server may take, in seconds.

    Attributes:
        connect: until one is logged in.
        answer: for each answer after that.
    """

    connect: float = 15
    answer: float = 30


class _Attributes(Protocol):
    """What a server tells of a file."""

    type: int
    size: int | None
    mtime: int | None
    mtime_ns: int | None
    permissions: int | None


def host_key_problem(text: str) -> str | None:
    """What is wrong with a key to pin, or ``None``."""
    usual = "give a fingerprint, such as SHA256:… of 'ssh-keygen -lf', or the line 'ssh-ed25519 AAAA…' of ssh-keyscan"
    if text.startswith(FINGERPRINT):
        return None if len(text) == len(FINGERPRINT) + 43 else f"is no fingerprint; {usual}"
    try:
        asyncssh.import_public_key(text)
    except (asyncssh.KeyImportError, ValueError, UnicodeError):
        return f"is no public key; {usual}"
    return None


def private_key_problem(text: str) -> str | None:
    """What is wrong with a private key, or ``None``."""
    if _is_protected(text):
        return "is protected by a passphrase; give it without one ('ssh-keygen -p'): Rowdock encrypts what it stores"
    try:
        asyncssh.import_private_key(text)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError, UnicodeError):
        return "is no private key in a format of OpenSSH (-----BEGIN OPENSSH PRIVATE KEY-----)"
    return None


def _is_protected(text: str) -> bool:
    if "ENCRYPTED" in text:
        return True
    body = "".join(line for line in text.splitlines() if not line.startswith("-----"))
    try:
        content = base64.b64decode(body)
    except ValueError:
        return False
    return content.startswith(_OPENSSH) and not content.startswith(_OPENSSH + _NO_CIPHER)


class _Client(asyncssh.SSHClient):
    """Knows the pinned keys, and remembers which one the server shows."""

    def __init__(self, fingerprints: Collection[str]) -> None:
        self._fingerprints = fingerprints
        self.shown: str | None = None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        del host, addr, port
        self.shown = key.get_fingerprint()
        return self.shown in self._fingerprints


@dataclass(frozen=True, slots=True)
class SftpDirectory:
    """An opened one.

    Args:
        client: logged in; paths are bytes.
        root: the directory on the server.
        subdirectories: whether files below it are told too.
        put_away: names of the directories directly below it whose files are not told.
        most: how many entries are looked at.
        seconds: how long an answer may take.
    """

    client: asyncssh.SFTPClient
    root: bytes
    subdirectories: bool
    put_away: frozenset[bytes]
    most: int
    seconds: float

    async def entries(self) -> AsyncGenerator[list[Entry]]:
        found: list[Entry] = []
        waiting: list[tuple[bytes, int]] = [(b"", 0)]
        seen = 0
        while waiting:
            above, depth = waiting.pop()
            async for name, attributes in self._names(above):
                seen += 1
                if seen > self.most:
                    raise SourceFault(
                        FaultCode.TOO_MANY_ENTRIES, f"more than {self.most:,} entries lie there; put some of them away"
                    )
                path = above + name
                kind = _kind(attributes)
                if stat.S_ISREG(kind):
                    found.append(_entry(path, attributes))
                    if len(found) == ENTRIES_AT_A_TIME:
                        yield found
                        found = []
                elif (
                    stat.S_ISDIR(kind)
                    and self.subdirectories
                    and depth < MAX_DEPTH
                    and not (depth == 0 and name in self.put_away)
                ):
                    waiting.append((path + b"/", depth + 1))
        if found:
            yield found

    async def _names(self, below: bytes) -> AsyncGenerator[tuple[bytes, _Attributes]]:
        listed = cast("AsyncGenerator[asyncssh.SFTPName]", self.client.scandir(self._at(below.rstrip(b"/"))))
        what = f"the directory {readable(below) or '.'!r} cannot be read"
        try:
            while True:
                with _told(what, at_gone=FaultCode.DIRECTORY_NOT_FOUND, not_allowed=FaultCode.NOT_READABLE):
                    async with asyncio.timeout(self.seconds):
                        entry = await anext(listed, None)
                if entry is None:
                    return
                name = entry.filename
                if isinstance(name, bytes) and usable_name(name) and len(below) + len(name) <= MAX_PATH_BYTES:
                    yield name, entry.attrs
        except SourceFault:
            if not below:
                raise
            return  # a directory below may not be read, or has vanished
        finally:
            with suppress(asyncssh.Error, OSError):
                await listed.aclose()

    async def stat(self, path: bytes) -> Entry | None:
        try:
            with _told(f"{readable(path)!r} cannot be looked at"):
                async with asyncio.timeout(self.seconds):
                    attributes = await self.client.lstat(self._at(path))
        except FileGoneError:
            return None
        return _entry(path, attributes) if stat.S_ISREG(_kind(attributes)) else None

    async def content(self, entry: Entry) -> AsyncGenerator[bytes]:
        await self._see(entry)
        with _told(f"{readable(entry.path)!r} cannot be read", not_allowed=FaultCode.NOT_READABLE):
            async with asyncio.timeout(self.seconds):
                file = await self.client.open(self._at(entry.path), "rb")
            try:
                at = 0
                while True:
                    async with asyncio.timeout(self.seconds):
                        chunk = cast("bytes", await file.read(READ_BYTES, at))
                    if not chunk:
                        break
                    at += len(chunk)
                    yield chunk
            finally:
                with suppress(asyncssh.Error, OSError, TimeoutError):
                    async with asyncio.timeout(self.seconds):
                        await file.close()
        if at != entry.size:
            raise FileChangedError
        await self._see(entry)

    async def _see(self, entry: Entry) -> None:
        now = await self.stat(entry.path)
        if now is None:
            raise FileGoneError
        if now != entry:
            raise FileChangedError

    async def prepare(self, directory: bytes) -> None:
        what = f"the directory {readable(directory)!r} cannot be made or written to"
        test = directory + b"/.rowdock-test"
        try:
            with suppress(asyncssh.SFTPError):  # it is there
                async with asyncio.timeout(self.seconds):
                    await self.client.mkdir(self._at(directory))
        except (TimeoutError, *_LOST) as error:
            _tell(error, what, FaultCode.NOT_WRITABLE)
        try:
            await self._put(test, b"", what)
        except FileGoneError:
            raise SourceFault(FaultCode.NOT_WRITABLE, what) from None
        await self.remove(test)

    async def move(self, path: bytes, target: bytes) -> None:
        with _told(f"{readable(path)!r} cannot be moved to {readable(target)!r}"):
            async with asyncio.timeout(self.seconds):
                await self.client.rename(self._at(path), self._at(target))

    async def write(self, path: bytes, content: bytes) -> None:
        what = f"{readable(path)!r} cannot be written"
        above, slash, name = path.rpartition(b"/")
        draft = above + slash + (b"." + name)[:MAX_NAME_BYTES]
        try:
            await self._put(draft, content, what)
            await self.remove(path)
            await self.move(draft, path)
        except FileGoneError:
            raise SourceFault(FaultCode.NOT_WRITABLE, what) from None
        except SourceFault:
            with suppress(SourceFault):
                await self.remove(draft)
            raise

    async def _put(self, path: bytes, content: bytes, what: str) -> None:
        with _told(what):
            async with asyncio.timeout(self.seconds), self.client.open(self._at(path), "wb") as file:
                await file.write(content)

    async def remove(self, path: bytes) -> None:
        with suppress(FileGoneError), _told(f"{readable(path)!r} cannot be removed"):
            async with asyncio.timeout(self.seconds):
                await self.client.remove(self._at(path))

    def _at(self, path: bytes) -> bytes:
        return self.root + b"/" + path if path else self.root


@asynccontextmanager
async def open_sftp(
    login: Login,
    directory: str,
    *,
    subdirectories: bool,
    put_away: frozenset[bytes],
    most: int,
    allowed_networks: Collection[IPNetwork],
    patience: Patience,
    resolver: Resolver = system_resolver,
) -> AsyncGenerator[SftpDirectory]:
    """Log in and open a directory.

    Args:
        login: where and how.
        directory: on the server.
        subdirectories: as for ``SftpDirectory``, and so the others.
        put_away: likewise.
        most: likewise.
        allowed_networks: networks that may be reached although they are not public.
        patience: with the server.
        resolver: tells the addresses of the host.

    Raises:
        SourceFault: it cannot be opened.
    """
    sock = await connected(login.host, login.port, allowed_networks, patience.connect, resolver)
    keys = [asyncssh.import_public_key(each) for each in login.host_keys if not each.startswith(FINGERPRINT)]
    pinned = {each.get_fingerprint() for each in keys}
    pinned |= {each for each in login.host_keys if each.startswith(FINGERPRINT)}
    seen: list[_Client] = []

    def client() -> _Client:
        seen.append(_Client(pinned))
        return seen[-1]

    # Where only keys are pinned, the server is asked for one of their kinds; for certificates never.
    kinds = {kind.decode() for key in keys for kind in key.sig_algorithms}
    wanted = sorted(kinds) if len(keys) == len(login.host_keys) else []
    private = [] if login.private_key is None else [asyncssh.import_private_key(login.private_key)]
    try:
        connection = await asyncssh.connect(
            login.host,
            login.port,
            sock=sock,
            config=[],
            client_factory=client,
            known_hosts=([], [], []),
            server_host_key_algs=wanted or _HOST_KEY_KINDS,
            x509_trusted_certs=None,
            username=login.username,
            password=login.password,
            client_keys=private,
            agent_path=None,
            gss_host=None,
            preferred_auth=["publickey"] if private else ["password", "keyboard-interactive"],
            compression_algs=None,
            login_timeout=patience.connect,
            connect_timeout=patience.connect,
            keepalive_interval=patience.answer / 2,
        )
    except asyncssh.HostKeyNotVerifiable:
        raise _refused_host_key(seen[0].shown if seen else None) from None
    except asyncssh.PermissionDenied:
        how = "private key" if private else "password"
        raise SourceFault(
            FaultCode.LOGIN_REFUSED, f"the server refuses this user name with this {how}; check both", "username"
        ) from None
    except (asyncssh.Error, OSError, TimeoutError, ValueError) as error:
        if isinstance(error, asyncssh.KeyExchangeFailed) and wanted:
            raise SourceFault(
                FaultCode.HOST_KEY_REFUSED,
                "the server has no key of the kinds that are pinned; pin another",
                "host_keys",
            ) from None
        raise SourceFault(
            FaultCode.CONNECTION_FAILED, f"{login.host}, port {login.port}, does not speak SSH as it should", "host"
        ) from None
    finally:
        if not seen:
            sock.close()
    try:
        async with connection:
            try:
                async with asyncio.timeout(patience.connect):
                    sftp = await connection.start_sftp_client(path_encoding=None)
            except (asyncssh.Error, OSError, TimeoutError):
                raise SourceFault(FaultCode.NO_SFTP, "the server offers no SFTP to this user", "host") from None
            yield SftpDirectory(
                sftp,
                directory.encode().rstrip(b"/") or (b"/" if directory.startswith("/") else b"."),
                subdirectories,
                put_away,
                most,
                patience.answer,
            )
    finally:
        connection.abort()


def _refused_host_key(shown: str | None) -> SourceFault:
    told = "another host key than is pinned" if shown is None else f"the host key {shown}, which is not pinned"
    return SourceFault(
        FaultCode.HOST_KEY_REFUSED,
        f"the server shows {told}: ask its operator whether that is right, and pin it if so; otherwise somebody else "
        "answers in its place",
        "host_keys",
    )


def _kind(attributes: _Attributes) -> int:
    if attributes.permissions is not None and stat.S_IFMT(attributes.permissions):
        return attributes.permissions
    return _KINDS.get(attributes.type, 0)


def _entry(path: bytes, attributes: _Attributes) -> Entry:
    modified = (attributes.mtime or 0) * _NS + (attributes.mtime_ns or 0)
    return Entry(modified, path, attributes.size or 0)


@contextmanager
def _told(
    what: str, *, at_gone: FaultCode | None = None, not_allowed: FaultCode = FaultCode.NOT_WRITABLE
) -> Generator[None]:
    """Errors of a block as faults; ``FileGoneError`` for what is not there, unless ``at_gone`` says otherwise."""
    try:
        yield
    except _GONE:
        if at_gone is None:
            raise FileGoneError from None
        raise SourceFault(at_gone, f"{what}: it is not there") from None
    except (asyncssh.Error, OSError, TimeoutError, ValueError) as error:
        _tell(error, what, not_allowed)


def _tell(error: Exception, what: str, not_allowed: FaultCode) -> NoReturn:
    if isinstance(error, TimeoutError):
        raise SourceFault(FaultCode.TIMED_OUT, f"{what}: the server does not answer in time") from None
    if isinstance(error, _NOT_ALLOWED):
        raise SourceFault(not_allowed, f"{what}: the server does not allow it") from None
    if isinstance(error, _NO_ROOM):
        raise SourceFault(FaultCode.NO_SPACE, f"{what}: there is no space left") from None
    if isinstance(error, _LOST):
        raise SourceFault(FaultCode.CONNECTION_LOST, f"{what}: the connection was lost") from None
    raise SourceFault(FaultCode.UNKNOWN, f"{what}: the server refuses it") from None
