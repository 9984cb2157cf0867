"""The bytes of an XML file as text, refused where they are not what the file says of itself."""

import codecs

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from services.parser.formats.api.encoding import is_single_byte

_ASCII = bytes(range(128))


class Decoder:
    """Decodes a file piece by piece.

    Args:
        encoding: Python codec name.
        declared: whether the file itself says that it has this encoding; then its bytes may say otherwise.
    """

    def __init__(self, encoding: str, *, declared: bool) -> None:
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        self._is_doubtful = declared and is_single_byte(encoding)
        self._line = 1

    def decode(self, data: bytes, *, final: bool) -> str:
        """The next piece.

        Raises:
            FileRefusedError: ``WRONG_ENCODING``.
        """
        if self._is_doubtful and not data.isascii():
            self._is_doubtful = False
            self._refuse_utf8(data, final=final)
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            line = self._line + error.object[: error.start].count(b"\n")
            raise FileRefusedError(
                RunErrorCode.WRONG_ENCODING,
                f"line {line}: byte 0x{error.object[error.start]:02X} is not {self._encoding}, as which the file is "
                "read; correct the encoding in its XML declaration, or name the right one in the template",
            ) from None
        self._line += text.count("\n")
        return text

    def _refuse_utf8(self, data: bytes, *, final: bool) -> None:
        """Letters of other encodings do not follow each other in the way of UTF-8, and every byte of it fits them."""
        start = data.index(data.translate(None, _ASCII)[0])
        try:
            utf8 = codecs.getincrementaldecoder("utf-8")().decode(data[start:], final)
        except UnicodeDecodeError:
            return
        if utf8:
            line = self._line + data.count(b"\n", 0, start)
            raise FileRefusedError(
                RunErrorCode.WRONG_ENCODING,
                f"line {line}: the XML declaration says {self._encoding}, but the file is written in UTF-8 "
                f"({utf8[:8]!r} stands there); correct the declaration, or name the right encoding in the template",
            )
