"""Expat, which tells of tags and texts, made to tell of them in a list.

The parser is expat and not libxml2, whose push parser keeps an unfinished tag, comment or CDATA section of any
size and does not tell how far it has come, so that it cannot be stopped. Expat says where it is after every piece.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any
from xml.parsers import expat

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from services.parser.formats.api.limits import MIB

PIECE_BYTES = 64 * 1024
_MAX_DEPTH = 256
_MAX_NAMESPACE_CHARS = 2_000
_MAX_NAMES_BYTES = 32 * MIB
_NAME_OVERHEAD_BYTES = 100

_SAID = {
    expat.errors.XML_ERROR_SYNTAX: "text stands outside of the root element; a file of XML begins with '<'",
    expat.errors.XML_ERROR_NO_ELEMENTS: "the file ends before its last element is closed",
    expat.errors.XML_ERROR_INVALID_TOKEN: "a character stands here that may not; a '<' or '&' that is text has to be "
    "written as &lt; or &amp;",
    expat.errors.XML_ERROR_UNCLOSED_TOKEN: "a tag or a comment begins here and never ends",
    expat.errors.XML_ERROR_PARTIAL_CHAR: "the file ends within a character",
    expat.errors.XML_ERROR_TAG_MISMATCH: "an end tag stands here that is not that of the element which is open",
    expat.errors.XML_ERROR_DUPLICATE_ATTRIBUTE: "an element has the same attribute twice",
    expat.errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT: "the root element has ended before this; there may be only one",
    expat.errors.XML_ERROR_UNDEFINED_ENTITY: "an entity stands here that is not defined; write the character itself",
    expat.errors.XML_ERROR_BAD_CHAR_REF: "a reference such as &#0; stands here for a character that may not occur",
    expat.errors.XML_ERROR_UNBOUND_PREFIX: "a name has a prefix before ':' that no xmlns declares",
    expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION: "a CDATA section begins here and never ends",
    expat.errors.XML_ERROR_XML_DECL: "the XML declaration is not written as it must be",
    expat.errors.XML_ERROR_MISPLACED_XML_PI: "the XML declaration is not the first thing in the file; remove what "
    "precedes it, be it a blank line",
}


class Start:
    """Stands for a start tag among the events."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class End(str):
    """The name of an element; alone it stands for an end tag among the events.

    It equals nothing but itself, so that no text passes for an end tag.

    Attributes:
        start: the start tag of the same name.
    """

    __slots__ = ("start",)

    def __init__(self, name: str) -> None:
        self.start = Start(name)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = str.__hash__


Event = Start | End | str | list[str]
"""A start tag, an end tag, a piece of text, or the attributes of the start tag before it: name, value, name, …."""


def _expat_shares_names() -> bool:
    """Whether expat takes the names that it hands out from a dictionary it is given, as CPython's does so far.

    That is not documented. It saves a call into Python for every end tag: without it reading takes 5 to 40 % longer.
    """
    names: dict[str, str] = {}
    ends: list[str] = []

    def start(name: str, _attributes: list[str]) -> None:
        names[name] = End(name)

    try:
        parser = expat.ParserCreate("utf-8", " ", names)
    except TypeError:
        return False
    parser.StartElementHandler = start
    parser.EndElementHandler = ends.append
    parser.Parse(b"<a/>", True)  # noqa: FBT003 - the function takes no keywords
    return len(ends) == 1 and type(ends[0]) is End


SHARES_NAMES = _expat_shares_names()
"""The one switch: without it the events are the same, and take longer."""


class EventParser:
    """Parses UTF-8 that is surely without a DOCTYPE.

    Args:
        max_token_bytes: most bytes of a tag or comment.

    Attributes:
        events: what came since the caller emptied the list.
        scopes: counts where prefixes began or ended to stand for namespaces.
    """

    def __init__(self, max_token_bytes: int) -> None:
        self.events: list[Event] = []
        self._max_token_bytes = max_token_bytes
        # Names of elements, attributes, prefixes and namespaces; those of elements as ``End``.
        self._names: dict[Any, Any] = {}
        self._names_seen = 0
        self._names_bytes = 0
        self._shares_names = SHARES_NAMES
        # The encoding given here wins over the file's declaration: what expat gets is UTF-8 always.
        if self._shares_names:
            self._parser = expat.ParserCreate("utf-8", " ", self._names)
        else:
            self._parser = expat.ParserCreate("utf-8", " ")
        self._parser.buffer_text = True
        self._parser.ordered_attributes = True
        self._parser.buffer_size = PIECE_BYTES
        self._parser.StartNamespaceDeclHandler = self._take_namespace
        self._parser.EndNamespaceDeclHandler = self._end_namespace
        self.scopes = 0
        self._passed_lines = 0
        self._passed_columns = 0
        self._passed_in_line = -1
        self._collect()

    def feed(self, content: bytes, *, final: bool) -> None:
        """Parse the next bytes.

        Raises:
            FileRefusedError: ``MALFORMED_XML``, ``XML_TOO_DEEP``; what came before is among the events.
        """
        try:
            self._parser.Parse(content, final)
        except expat.ExpatError as error:
            what = _SAID.get(expat.ErrorString(error.code) or "", "this is no well-formed XML")
            raise FileRefusedError(
                RunErrorCode.MALFORMED_XML,
                f"line {error.lineno + self._passed_lines}, column {self._column(error)}: {what}; from there on the "
                "file cannot be read, correct it or export it again",
            ) from None

    def passed(self, content: bytes, start: int, end: int) -> None:
        """Something between two elements was read by somebody else: from there on lines and columns are others.

        Args:
            content: the piece of the document, as UTF-8.
            start: index of what was read.
            end: index behind it.
        """
        line = self._parser.CurrentLineNumber
        lines = content.count(b"\n", start, end)
        before = self._parser.CurrentColumnNumber
        if self._passed_in_line == line:
            before += self._passed_columns
        if lines:
            before, start = 0, content.rfind(b"\n", start, end) + 1
        self._passed_columns = before + len(content[start:end].decode()) - self._parser.CurrentColumnNumber
        self._passed_in_line = line
        self._passed_lines += lines

    @property
    def _line(self) -> int:
        return self._parser.CurrentLineNumber + self._passed_lines

    def _column(self, error: expat.ExpatError) -> int:
        return error.offset + 1 + (self._passed_columns if error.lineno == self._passed_in_line else 0)

    @property
    def position(self) -> int:
        """How many bytes are done: what follows is a tag, a comment or the like that goes on in the next piece."""
        return max(0, self._parser.CurrentByteIndex)

    def check_token(self, size: int) -> None:
        """Refuse a tag, a comment or a prolog of more than ``max_token_bytes``.

        Raises:
            FileRefusedError: ``XML_TOKEN_TOO_LARGE``.
        """
        if size > self._max_token_bytes:
            raise FileRefusedError(
                RunErrorCode.XML_TOKEN_TOO_LARGE,
                f"line {self._line}: a tag, a comment or what precedes the first tag has more than "
                f"{self._max_token_bytes:,} bytes; shorten it, or look for a missing '>'",
            )

    def check_depth(self, depth: int) -> None:
        """Refuse an element that is nested too deep.

        Raises:
            FileRefusedError: ``XML_TOO_DEEP``.
        """
        if depth >= _MAX_DEPTH:
            raise FileRefusedError(
                RunErrorCode.XML_TOO_DEEP,
                f"by line {self._line:,} elements are nested more than {_MAX_DEPTH} deep; look for missing end tags",
            )

    def skip(self, depth: int, then: Callable[[], None]) -> None:
        """Leave out all events until as many elements have ended, then call.

        Args:
            depth: how deep the elements that are open are nested.
            then: called before the next event.
        """
        left = depth

        def start(name: str, attributes: list[str]) -> None:
            nonlocal left
            left += 1
            self.check_depth(left)
            if not self._shares_names:
                self._keep_names(name, *attributes[::2])

        def end(_name: str) -> None:
            nonlocal left
            left -= 1
            if not left:
                then()
                self._collect()

        self._parser.StartElementHandler = start
        self._parser.EndElementHandler = end
        self._parser.CharacterDataHandler = None

    def _collect(self) -> None:
        """Have events collected: that takes one call into Python per element instead of three."""
        names, add = self._names, self.events.append

        def start(name: str, attributes: list[str]) -> None:
            if isinstance(name, End):
                add(name.start)
            else:
                # Expat hands out this object from now on wherever it finds the name, in end tags too.
                names[name] = known = End(name)
                add(known.start)
            if attributes:
                add(attributes)

        def start_of(name: str, attributes: list[str]) -> None:
            known = names.get(name)
            if not isinstance(known, End):
                names[name] = known = End(name)
            add(known.start)
            if attributes:
                self._keep_names(*attributes[::2])
                add(attributes)

        def end_of(name: str) -> None:
            add(names[name])

        self._parser.StartElementHandler = start if self._shares_names else start_of
        self._parser.EndElementHandler = add if self._shares_names else end_of
        self._parser.CharacterDataHandler = add

    def _keep_names(self, *names: str | None) -> None:
        for name in names:
            self._names.setdefault(name, name)

    def _take_namespace(self, prefix: str | None, uri: str | None) -> None:
        """Every name is kept with its namespace in front: a long one would multiply."""
        self.scopes += 1
        if uri is not None and len(uri) > _MAX_NAMESPACE_CHARS:
            raise FileRefusedError(
                RunErrorCode.MALFORMED_XML,
                f"line {self._line:,}: the name of a namespace has more than "
                f"{_MAX_NAMESPACE_CHARS:,} characters; shorten it",
            )
        if not self._shares_names:
            self._keep_names(prefix, uri)

    def _end_namespace(self, _prefix: str | None) -> None:
        self.scopes += 1

    def check_names(self) -> None:
        """Refuse a file of too many names: they are kept for as long as it is read, by expat too.

        Raises:
            FileRefusedError: ``XML_TOO_MANY_NAMES``.
        """
        new = len(self._names) - self._names_seen
        if new:
            self._names_seen += new
            names = islice(reversed(self._names), new)
            # Among them is None, the prefix of a default namespace.
            self._names_bytes += sum(_NAME_OVERHEAD_BYTES + len(name or "") for name in names)
            if self._names_bytes > _MAX_NAMES_BYTES:
                raise FileRefusedError(
                    RunErrorCode.XML_TOO_MANY_NAMES,
                    f"by line {self._line:,} the file has {self._names_seen:,} different names of "
                    "elements and attributes; names are for columns: put what differs from row to row into their text",
                )
