"""What a place where files arrive can be asked for, whether it is a server or a directory."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

ENTRIES_AT_A_TIME: Final = 500
MAX_DEPTH: Final = 16
READ_BYTES: Final = 256 * 1024


class FaultCode(StrEnum):
    """Why a place cannot be used."""

    NOT_ENABLED = "NOT_ENABLED"
    NAME_NOT_RESOLVED = "NAME_NOT_RESOLVED"
    ADDRESS_REFUSED = "ADDRESS_REFUSED"
    CONNECTION_FAILED = "CONNECTION_FAILED"
    CONNECTION_LOST = "CONNECTION_LOST"
    TIMED_OUT = "TIMED_OUT"
    HOST_KEY_REFUSED = "HOST_KEY_REFUSED"
    LOGIN_REFUSED = "LOGIN_REFUSED"
    NO_SFTP = "NO_SFTP"
    DIRECTORY_NOT_FOUND = "DIRECTORY_NOT_FOUND"
    NOT_READABLE = "NOT_READABLE"
    NOT_WRITABLE = "NOT_WRITABLE"
    NO_SPACE = "NO_SPACE"
    TOO_MANY_ENTRIES = "TOO_MANY_ENTRIES"
    CREDENTIALS_UNREADABLE = "CREDENTIALS_UNREADABLE"
    TEMPLATE_NOT_USABLE = "TEMPLATE_NOT_USABLE"
    LIMIT_REACHED = "LIMIT_REACHED"
    ORGANIZATION_SUSPENDED = "ORGANIZATION_SUSPENDED"
    UNKNOWN = "UNKNOWN"


class SourceFault(Exception):  # noqa: N818 - a fault of a place, not of this program
    """A place, or one of its files, cannot be used as it is wanted.

    Attributes:
        code: what is wrong.
        message: for its owner: what is wrong, and how to mend it. Quotes nothing that is secret.
        at: the member of the source that it is about, such as ``host``.
    """

    def __init__(self, code: FaultCode, message: str, at: str = "directory") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.at = at


class FileGoneError(Exception):
    """There is no such file, or no regular one."""


class FileChangedError(Exception):
    """The file is not the one that was seen."""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A regular file, as it was seen; the oldest come first.

    Attributes:
        modified_ns: nanoseconds since 1970.
        path: below the place's directory.
        size: in bytes.
    """

    modified_ns: int
    path: bytes
    size: int

    @property
    def name(self) -> bytes:
        return self.path.rpartition(b"/")[2]


class Place(Protocol):
    """An opened place. All paths are below its directory.

    Every method raises ``SourceFault`` where the place does not do what it is asked for.
    """

    def entries(self) -> AsyncGenerator[list[Entry]]:
        """Its regular files, in portions of at most ``ENTRIES_AT_A_TIME``, in no order.

        Nothing else is told: symbolic links, directories, FIFOs, sockets and devices are passed over, as are the
        directories where files are put away.
        """
        ...

    async def stat(self, path: bytes) -> Entry | None:
        """A regular file as it is now; ``None`` where there is none."""
        ...

    def content(self, entry: Entry) -> AsyncGenerator[bytes]:
        """The bytes of a file.

        Raises:
            FileGoneError: it is not there, or no regular file.
            FileChangedError: it is not as ``entry`` says, before or after it was read.
        """
        ...

    async def prepare(self, directory: bytes) -> None:
        """See that a directory for files that are put away is there, and can be written to."""
        ...

    async def move(self, path: bytes, target: bytes) -> None:
        """Rename a file, in one step.

        Raises:
            FileGoneError: it is not there.
        """
        ...

    async def write(self, path: bytes, content: bytes) -> None:
        """Write a small file, whole or not at all; one that is there is replaced."""
        ...

    async def remove(self, path: bytes) -> None:
        """Remove a file; one that is gone is no error."""
        ...


class Opening(Protocol):
    """Opens places."""

    def __call__(self) -> AbstractAsyncContextManager[Place]: ...
