"""The start of a text file and its encoding, for formats that decide on them."""

from dataclasses import dataclass

from services.parser.formats.api.encoding import Encoding, EncodingDetector
from services.parser.formats.api.file_format import FileFacts


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read of a file.

    Attributes:
        data: its first bytes.
        encoding: how they, and all the others, are decoded.
        whole_file: whether there are no others.
    """

    data: bytes
    encoding: Encoding
    whole_file: bool


class TextSample:
    """Is fed a file from its start until there is enough of it.

    Args:
        file: its size, and whether it is known to be ASCII.
        encoding: the template's, if it names one.
        size: how many bytes are kept.
    """

    def __init__(self, file: FileFacts, encoding: str | None, size: int) -> None:
        self._file = file
        self._detector = EncodingDetector(encoding)
        self._encoding: Encoding | None = None
        self._data = bytearray()
        self._size = size

    def feed(self, data: bytes) -> bool:
        """Whether no more of the file is needed.

        Raises:
            FileRefusedError: ``NOT_TEXT``, ``UNKNOWN_ENCODING``.
        """
        self._data += data[: self._size - len(self._data)]
        self._encoding = self._detector.feed(data)
        known = self._encoding is not None or self._file.ascii_only
        return known and len(self._data) == min(self._size, self._file.size)

    def sample(self) -> Sample:
        """The sample.

        Raises:
            FileRefusedError: ``NOT_TEXT``, ``UNKNOWN_ENCODING``.
        """
        encoding = self._encoding or self._detector.close()
        return Sample(bytes(self._data), encoding, whole_file=len(self._data) == self._file.size)
