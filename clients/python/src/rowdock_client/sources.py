"""Files that are sent: opened anew for each attempt, and counted while they are read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO, FileIO
from pathlib import Path
from typing import IO

Told = Callable[[int, int], None]
"""Is told how many bytes were sent so far, and how many there are."""


def _nobody(sent: int, size: int) -> None:
    del sent, size


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be sent.

    Attributes:
        content: path of the file, its bytes, or an open binary file that can be rewound.
        name: file name that the gateway is told.
        told: is told how much of a file on disk was sent.
    """

    content: Path | bytes | IO[bytes]
    name: str
    told: Told = field(default=_nobody)

    @classmethod
    def of(cls, file: "str | Path | bytes | IO[bytes]", name: str | None = None, told: Told | None = None) -> "Source":
        """Whatever names or is a file; the name is by default that of the file, else ``rows``."""
        content = Path(file) if isinstance(file, str) else file
        own = content.name if isinstance(content, Path) else Path(str(getattr(content, "name", "rows"))).name
        return cls(content, name or own, told or _nobody)

    def opened(self) -> IO[bytes]:
        """The file from its beginning, never held whole.

        Raises:
            OSError: there is no such file, or it cannot be read.
        """
        match self.content:
            case Path() as path:
                return _Counted(path, self.told)
            case bytes() as content:
                return BytesIO(content)
            case file:
                file.seek(0)
                return file

    def close(self, opened: IO[bytes]) -> None:
        """Close what ``opened`` has opened, never what somebody else has."""
        if opened is not self.content:
            opened.close()


FileLike = str | Path | bytes | IO[bytes] | Source
"""What can be sent: a path, bytes, an open file, or a source."""


class _Counted(FileIO):
    """A file on disk that tells how far it was read."""

    def __init__(self, path: Path, told: Told) -> None:
        super().__init__(path, "rb")
        self._told = told
        self._size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(-1 if size is None else size)
        self._told(self.tell(), self._size)
        return piece or b""
