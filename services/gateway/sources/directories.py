"""A watched directory: below the folder of its organization, below the one that the operator has named.

Every step is taken from the descriptor of the directory before it, and follows no symbolic link: whatever is put into a
folder, no path leads out of it. All of it is done in threads: a network file system may take its time.
"""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from services.gateway.sources.names import MAX_NAME_BYTES, readable, usable_name
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

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a FIFO that takes a file's place in just this moment would wait for its writer.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_WRITABLE: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_OTHER_KIND: Final = frozenset({errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENOTDIR, errno.ENODEV})


@dataclass(frozen=True, slots=True)
class WatchedDirectory:
    """An opened one.

    Args:
        root: its descriptor.
        subdirectories: whether files below it are told too.
        put_away: names of the directories directly below it whose files are not told.
        most: how many entries are looked at.
    """

    root: int
    subdirectories: bool
    put_away: frozenset[bytes]
    most: int

    async def entries(self) -> AsyncGenerator[list[Entry]]:
        walk = self._walk()
        try:
            while portion := await asyncio.to_thread(next, walk, None):
                yield portion
        finally:
            await asyncio.to_thread(walk.close)

    async def stat(self, path: bytes) -> Entry | None:
        return await asyncio.to_thread(self._stat, path)

    async def content(self, entry: Entry) -> AsyncGenerator[bytes]:
        file = await asyncio.to_thread(self._open, entry)
        try:
            while chunk := await asyncio.to_thread(_read, file):
                yield chunk
            if _entry(entry.path, await asyncio.to_thread(os.fstat, file)) != entry:
                raise FileChangedError
        finally:
            os.close(file)

    async def prepare(self, directory: bytes) -> None:
        await asyncio.to_thread(self._prepare, directory)

    async def move(self, path: bytes, target: bytes) -> None:
        await asyncio.to_thread(self._move, path, target)

    async def write(self, path: bytes, content: bytes) -> None:
        try:
            await asyncio.to_thread(self._write, path, content)
        except FileGoneError:
            raise SourceFault(FaultCode.NOT_WRITABLE, f"there is no directory for {readable(path)!r}") from None

    async def remove(self, path: bytes) -> None:
        await asyncio.to_thread(self._remove, path)

    # --- in threads -----------------------------------------------------------------------------

    def _walk(self) -> Generator[list[Entry]]:
        found: list[Entry] = []
        for number, (path, status) in enumerate(self._each(self.root, b"", 0)):
            if number >= self.most:
                raise SourceFault(
                    FaultCode.TOO_MANY_ENTRIES, f"more than {self.most:,} entries lie there; put some of them away"
                )
            if not stat.S_ISREG(status.st_mode):
                continue
            found.append(_entry(path, status))
            if len(found) == ENTRIES_AT_A_TIME:
                yield found
                found = []
        if found:
            yield found

    def _each(self, directory: int, above: bytes, depth: int) -> Iterator[tuple[bytes, os.stat_result]]:
        """Whatever lies in a directory, and below it where that is wanted."""
        with _told("the directory cannot be read"), os.scandir(directory) as found:
            while True:
                entry = next(found, None)
                if entry is None:
                    return
                name = os.fsencode(entry.name)
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # it vanished
                path = above + name
                yield path, status
                if not (stat.S_ISDIR(status.st_mode) and self.subdirectories and depth < MAX_DEPTH):
                    continue
                if depth == 0 and name in self.put_away:
                    continue
                # What may not be read, or became something else meanwhile, holds nothing for us.
                with suppress(OSError):
                    below = os.open(name, _DIRECTORY, dir_fd=directory)
                    try:
                        yield from self._each(below, path + b"/", depth + 1)
                    finally:
                        os.close(below)

    @contextmanager
    def _parent(self, path: bytes) -> Generator[tuple[int, bytes]]:
        """The descriptor of the directory that a file is in, and its name there.

        Raises:
            FileGoneError: there is no such directory.
        """
        *above, name = path.split(b"/")
        if len(above) > MAX_DEPTH or not all(map(usable_name, (*above, name))):
            raise FileGoneError
        opened: list[int] = []
        try:
            try:
                for step in above:
                    opened.append(os.open(step, _DIRECTORY, dir_fd=opened[-1] if opened else self.root))
            except OSError:
                raise FileGoneError from None
            yield opened[-1] if opened else self.root, name
        finally:
            for each in opened:
                os.close(each)

    def _stat(self, path: bytes) -> Entry | None:
        try:
            with self._parent(path) as (parent, name):
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except (FileNotFoundError, FileGoneError):
            return None
        except OSError as error:
            _tell(error, f"{readable(path)!r} cannot be looked at")
        return _entry(path, status) if stat.S_ISREG(status.st_mode) else None

    def _open(self, entry: Entry) -> int:
        try:
            with self._parent(entry.path) as (parent, name):
                file = os.open(name, _READ, dir_fd=parent)
        except OSError as error:
            if error.errno == errno.ENOENT or error.errno in _OTHER_KIND:
                raise FileGoneError from None
            _tell(error, f"{readable(entry.path)!r} cannot be read")
        status = os.fstat(file)
        if stat.S_ISREG(status.st_mode) and _entry(entry.path, status) == entry:
            return file
        os.close(file)
        if stat.S_ISREG(status.st_mode):
            raise FileChangedError
        raise FileGoneError

    def _prepare(self, directory: bytes) -> None:
        name = readable(directory)
        with _told(f"the directory {name!r} cannot be made or written to"):
            with suppress(FileExistsError):
                os.mkdir(directory, dir_fd=self.root)
            opened = os.open(directory, _DIRECTORY, dir_fd=self.root)
            os.close(opened)
        try:
            self._write(directory + b"/.rowdock-test", b"")
            self._remove(directory + b"/.rowdock-test")
        except FileGoneError:
            raise SourceFault(FaultCode.NOT_WRITABLE, f"{name!r} is no directory") from None

    def _move(self, path: bytes, target: bytes) -> None:
        with self._parent(path) as (parent, name), self._parent(target) as (to, new):
            try:
                os.rename(name, new, src_dir_fd=parent, dst_dir_fd=to)
            except FileNotFoundError:
                raise FileGoneError from None
            except OSError as error:
                _tell(error, f"{readable(path)!r} cannot be moved to {readable(target)!r}")

    def _write(self, path: bytes, content: bytes) -> None:
        with self._parent(path) as (parent, name), _told(f"{readable(path)!r} cannot be written"):
            draft = (b"." + name)[:MAX_NAME_BYTES]
            with suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=parent)  # of one who died at it
            file = os.open(draft, _WRITE, 0o640, dir_fd=parent)
            try:
                try:
                    left = memoryview(content)
                    while left:
                        left = left[os.write(file, left) :]
                    os.fsync(file)
                finally:
                    os.close(file)
                os.rename(draft, name, src_dir_fd=parent, dst_dir_fd=parent)
            except OSError:
                with suppress(OSError):
                    os.unlink(draft, dir_fd=parent)
                raise

    def _remove(self, path: bytes) -> None:
        what = f"{readable(path)!r} cannot be removed"
        with suppress(FileGoneError), self._parent(path) as (parent, name), _told(what), suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)


@asynccontextmanager
async def open_directory(
    root: Path | None,
    tenant_id: str,
    directory: str,
    *,
    subdirectories: bool,
    put_away: frozenset[bytes],
    most: int,
) -> AsyncGenerator[WatchedDirectory]:
    """Open a directory of an organization.

    Args:
        root: below which organizations have their folders; ``None`` where the operator has named none.
        tenant_id: whose it is, which is the name of its folder.
        directory: below that folder, slashes between; empty for the folder itself.
        subdirectories: as for ``WatchedDirectory``, and so the others.
        put_away: likewise.
        most: likewise.

    Raises:
        SourceFault: it cannot be opened.
    """
    if root is None:
        raise SourceFault(
            FaultCode.NOT_ENABLED,
            "watched directories are not enabled here; the operator sets ROWDOCK_SOURCES_DIRECTORY",
            "type",
        )
    steps = [os.fsencode(each) for each in (tenant_id, *directory.split("/")) if each not in {"", "."}]
    opened = await asyncio.to_thread(_opened, root, steps)
    try:
        yield WatchedDirectory(opened, subdirectories, put_away, most)
    finally:
        os.close(opened)


def _opened(root: Path, steps: list[bytes]) -> int:
    """The descriptor of a directory below ``root``, which itself may be a symbolic link."""
    shown = readable(b"/".join(steps))
    if not all(map(usable_name, steps)) or len(steps) > MAX_DEPTH:
        raise SourceFault(FaultCode.DIRECTORY_NOT_FOUND, f"{shown!r} cannot be a directory here")
    try:
        opened = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for step in steps:
            above = opened
            try:
                opened = os.open(step, _DIRECTORY, dir_fd=above)
            finally:
                os.close(above)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM}:
            raise SourceFault(
                FaultCode.NOT_READABLE, f"the directory {shown!r} may not be read by Rowdock; give it the right"
            ) from None
        raise SourceFault(
            FaultCode.DIRECTORY_NOT_FOUND,
            f"there is no directory {shown!r} below that of the operator, or a part of it is a symbolic link; make it",
        ) from None
    return opened


def _read(file: int) -> bytes:
    try:
        return os.read(file, READ_BYTES)
    except OSError as error:
        _tell(error, "the file cannot be read to its end")


def _entry(path: bytes, status: os.stat_result) -> Entry:
    return Entry(status.st_mtime_ns, path, status.st_size)


@contextmanager
def _told(what: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        _tell(error, what)


def _tell(error: OSError, what: str) -> NoReturn:
    if error.errno in _NO_ROOM:
        raise SourceFault(FaultCode.NO_SPACE, f"{what}: there is no space left") from None
    code = FaultCode.NOT_WRITABLE if error.errno in _NOT_WRITABLE else FaultCode.UNKNOWN
    raise SourceFault(code, f"{what}: {os.strerror(error.errno or 0)}") from None
