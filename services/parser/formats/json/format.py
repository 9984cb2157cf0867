"""The format ``json``: an array of objects, one object, objects one after the other or one per line."""

from collections.abc import Collection, Sequence
from typing import Any

from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Concat, Template
from services.parser.formats.api.encoding import open_decoder
from services.parser.formats.api.file_format import FileFacts, Layout
from services.parser.formats.api.headers import column_names
from services.parser.formats.api.limits import MIB, ReaderLimits
from services.parser.formats.api.sampling import TextSample
from services.parser.formats.json.blocks import RecordBlock
from services.parser.formats.json.held import Unread
from services.parser.formats.json.reader import JsonReader
from services.parser.formats.json.records import Together, splitter
from services.parser.formats.json.shape import Shape, detect_shape
from services.parser.formats.json.values import BadRecordError, Pairs, Value, flatten, has_surrogates, named_with_type


class JsonSampler:
    """Finds out encoding, shape and columns: the keys of the records in the file's start, as they appear.

    A file that is longer than that may have other keys further on: its layout is not complete, and overflows.
    """

    def __init__(self, template: Template, file: FileFacts, limits: ReaderLimits) -> None:
        self._template = template
        self._file = file
        self._limits = limits
        self._head = b""
        self._start: TextSample | None = None

    def feed(self, data: bytes) -> bool:
        """See ``file_format.Sampler``."""
        if self._start is None:
            self._head += data
            if len(self._head) < min(4, self._file.size):
                return False
            data = self._head
        return self._opened().feed(data)

    def layout(self) -> Layout:
        """See ``file_format.Sampler``."""
        sample = self._opened().sample()
        encoding = sample.encoding
        data = sample.data[encoding.bom_bytes :]
        text = open_decoder(encoding.name).decode(data, sample.whole_file)
        shape = detect_shape(text, self._template, whole_file=sample.whole_file)
        keys = _Keys(self._limits, named_with_type(_names(self._template)))
        together = Together(keys.seen, keys.take_many, keys.take_block)
        records = splitter(shape.name, shape.start, self._limits, keys.take, shape.path, together=together)
        for start in range(0, len(text), self._limits.block_bytes):
            records.feed(text[start : start + self._limits.block_bytes])
        if sample.whole_file:
            records.close()
        names, notes = column_names(keys.names, self._limits.max_header_chars)
        return Layout(
            columns=names,
            complete=sample.whole_file and bool(names),
            overflow=not sample.whole_file or keys.left_out,
            nested=True,
            keys=tuple(keys.names),
            notes=(*(note for note in (encoding.note, shape.note) if note), *notes),
            settings={
                "encoding": encoding.name,
                "bom_bytes": encoding.bom_bytes,
                "typed_numbers": True,
                "options": _options(shape),
            },
        )

    def _opened(self) -> TextSample:
        if self._start is None:
            encoding = self._template.source.encoding or _utf32_without_bom(self._head)
            # One record of the largest size fits, and what a file may begin with before it.
            self._start = TextSample(self._file, encoding, self._limits.max_record_bytes + MIB)
        return self._start


def _names(template: Template) -> list[str]:
    """What the template calls columns."""
    joined = [each for field in template.fields for each in field.transforms if isinstance(each, Concat)]
    return [
        *(field.source for field in template.fields),
        *(column for each in joined for column in each.columns),
        *template.required_columns,
        *([] if template.delete_column is None else [template.delete_column]),
    ]


def _options(shape: Shape) -> dict[str, Any]:
    """What the reader has to know of where the records are."""
    options: dict[str, Any] = {"shape": shape.name, "start": shape.start, "typed": True}
    if shape.path:
        options |= {"path": list(shape.path), "searched": shape.searched}
    return options


class JsonFormat:
    """JSON, RFC 8259, and JSON lines."""

    def sampler(self, template: Template, file: FileFacts, limits: ReaderLimits) -> JsonSampler:
        """See ``file_format.FileFormat``."""
        return JsonSampler(template, file, limits)

    def reader(self, plan: ParsePlan, limits: ReaderLimits) -> JsonReader:
        """See ``file_format.FileFormat``."""
        return JsonReader(plan, limits)


class _Keys:
    """Collects the keys of records as the reader sees them, in order of appearance."""

    def __init__(self, limits: ReaderLimits, with_type: Collection[str]) -> None:
        self._limits = limits
        self._with_type = with_type
        self.seen: dict[str, None] = {}
        self._last_keys: tuple[str, ...] = ()
        self.left_out = False

    @property
    def names(self) -> list[str]:
        return list(self.seen)

    def take(self, found: Value | Unread, *_: int) -> None:
        """Take a record, see ``held.Sink``."""
        if isinstance(found, tuple) and found and self._is_known(found):
            return
        try:
            keys = flatten(found, with_type=self._with_type) if isinstance(found, tuple) else ()
        except BadRecordError:
            return  # an issue of the reader
        for key in keys:
            if key not in self.seen:
                self._add(key)

    def take_many(self, records: Sequence[Value], _first: int) -> None:
        """Take records, see ``records.ManySink``."""
        for record in records:
            self.take(record)

    def take_block(self, _: RecordBlock) -> None:
        """Take records that have keys which were seen before and no others, see ``blocks``."""

    def _is_known(self, record: Pairs) -> bool:
        """Whether a record has the keys of the one before and no objects in it: most have."""
        keys, values = zip(*record, strict=True)
        if tuple in set(map(type, values)):
            return False
        before, self._last_keys = self._last_keys, keys
        return keys == before

    def _add(self, key: str) -> None:
        if len(key) > self._limits.max_header_chars or has_surrogates(key):
            self.left_out = True
        elif len(self.seen) <= self._limits.max_columns:  # one more, and the file is refused for it
            self.seen[key] = None


def _utf32_without_bom(head: bytes) -> str | None:
    """JSON starts with an ASCII character (RFC 4627, section 3)."""
    match [byte != 0 for byte in head[:4]]:
        case [True, False, False, False]:
            return "utf-32-le"
        case [False, False, False, True]:
            return "utf-32-be"
        case _:
            return None
