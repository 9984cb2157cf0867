"""Where the records are in a file that is one object: a list within it, the object itself, or an object within it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode
from libs.contracts.templates import Template
from services.parser.formats.api.headers import listed
from services.parser.formats.api.record_places import RecordPlace, choose, offers_any, unclear
from services.parser.formats.json.records import WRAPPERS
from services.parser.formats.json.values import (
    MAX_DEPTH,
    BadRecordError,
    Value,
    blank_end,
    decode_at,
    flatten,
    kind_of,
    named_with_type,
)

ROOT = "$"
"""The whole file, as ``record_path`` names it."""
_JUDGED_RECORDS = 100
_MOST_PLACES = 100


@dataclass(slots=True)
class Member:
    """A list or an object in the file.

    Attributes:
        path: keys that lead there.
        start: index of its bracket.
        is_list: whether it is a list.
        columns: names of the cells of its records, or of the one that it is; of a list the first ones'.
        has_objects: whether it is a list with an object among its first elements.
        elements: of a list that ends in the text, how many it has.
        values: whether an object has a member of its own that is neither an object nor a list of objects.
        members: of an object, the lists and objects in it.
    """

    path: tuple[str, ...]
    start: int
    is_list: bool
    columns: dict[str, None] = field(default_factory=dict[str, None])
    has_objects: bool = False
    elements: int | None = None
    values: bool = False
    members: "list[Member]" = field(default_factory=list["Member"])

    def within(self) -> "Iterator[Member]":
        """All lists and objects in it."""
        for each in self.members:
            yield each
            yield from each.within()

    @property
    def holds_columns(self) -> bool:
        """Whether its members are lists of as many values each, several of both: then each is a column."""
        lengths = [each.elements for each in self.members if each.is_list and not each.has_objects]
        return len(lengths) == len(self.columns) > 1 and len(set(lengths)) == 1 and (lengths[0] or 0) > 1

    def place(self) -> RecordPlace:
        return RecordPlace(path_text(self.path), frozenset(self.columns))


@dataclass(frozen=True, slots=True)
class Found:
    """Where the records are.

    Attributes:
        path: keys that lead there; empty for the object itself.
        start: index of the first character of the first record, in a list behind its bracket.
        is_list: whether it is a list.
        note: for the owner of the run, where it was found out.
    """

    path: tuple[str, ...]
    start: int
    is_list: bool
    note: str | None = None


def path_text(path: Sequence[str]) -> str:
    """A path as a template may write it."""
    if not path:
        return ROOT
    if all(key and not set(key) & set("./~$*[]") for key in path):
        return ".".join(path)
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)


def path_keys(written: str) -> tuple[str, ...]:
    """The keys of a path: ``data.items`` (also ``$.data.items[*]``), or a JSON pointer (RFC 6901) ``/data/items``."""
    if written.startswith("/"):
        return tuple(key.replace("~1", "/").replace("~0", "~") for key in written[1:].split("/"))
    plain = written.removeprefix(ROOT).removesuffix("[*]").strip(".")
    return tuple(plain.split(".")) if plain else ()


def find_records(text: str, at: int, template: Template, *, ends: bool) -> Found | None:
    """Where the records of the object at ``text[at]`` are; ``None`` if it does not end and no list begins in it.

    Args:
        text: of the file's start.
        at: index of the object's bracket.
        template: with the path, or else with the columns that are wanted.
        ends: whether the object ends in the text, so that it can be a record itself.

    Raises:
        FileRefusedError: ``RECORDS_UNCLEAR``, ``NO_RECORDS``.
    """
    root = _Walk(text).object(at, ())
    told = template.source.record_path
    if told is not None:
        return _told(text, root, path_keys(told), told)
    inner = list(islice(root.within(), _MOST_PLACES))
    lists = [each for each in inner if each.is_list and each.has_objects]
    if not lists:
        lists = [each for each in root.members if each.is_list and each.path[-1] in WRAPPERS][:1]
    if not lists:
        return _without_lists(root, inner, template, ends=ends)
    around = [each for each in (root, *inner) if not each.is_list and _has_values_around(each, lists)] if ends else []
    places = [each.place() for each in (*lists, *around)]
    best = choose(places, template)
    if best is None and len(lists) == 1 and not offers_any(places, template):
        best = places[0]
    if best is None:
        raise unclear(places, "lists and objects ($ is the whole file)")
    return _at(root, [*lists, *around][places.index(best)])


def _has_values_around(member: Member, lists: Sequence[Member]) -> bool:
    """Whether an object around a list has values of its own; several lists are such."""
    return any(each.path[: len(member.path)] == member.path for each in lists) and (
        member.values or len(member.members) > 1 or any(each.values for each in member.within())
    )


def _without_lists(root: Member, inner: Sequence[Member], template: Template, *, ends: bool) -> Found | None:
    if not ends:
        return None
    objects = [root, *(each for each in inner if not each.is_list)]
    places = [each.place() for each in objects]
    best = choose(places, template) if offers_any(places, template) else None
    record = root if best is None else objects[places.index(best)]
    if record.holds_columns:
        raise FileRefusedError(
            RunErrorCode.RECORDS_UNCLEAR,
            f"the object at {path_text(record.path)!r} holds columns, not records: {listed(list(record.columns))} are "
            f"lists of {record.members[0].elements:,} values each; export a list with an object for each row (pandas: "
            "orient='records'), or name the object in the template as record_path if it is one record",
        )
    return _at(root, record)


def _at(root: Member, member: Member) -> Found:
    note = None
    if member is not root:
        note = f"records: the {'list' if member.is_list else 'object'} {path_text(member.path)!r}"
        beside = [path_text(each.path) for each in root.members if each.path != member.path[:1]]
        beside += [name for name in root.columns if "." not in name and name not in beside and name != member.path[0]]
        if beside:
            note += f"; not read is what stands beside it: {listed(beside)}"
    elif member.members:
        note = "records: the whole file is one record"
    return Found(member.path, member.start + member.is_list, member.is_list, note)


def _told(text: str, root: Member, path: tuple[str, ...], told: str) -> Found:
    """What stands at the path of the template.

    Raises:
        FileRefusedError: ``NO_RECORDS``.
    """
    found = next((each for each in (root, *root.within()) if each.path == path), None)
    if found is not None:
        return Found(path, found.start + found.is_list, found.is_list)
    value = _value_at(text, root.start, path)
    what = "nothing" if value is None else kind_of(value)
    places = [path_text(each.path) for each in root.within()] or [ROOT]
    raise FileRefusedError(
        RunErrorCode.NO_RECORDS,
        f"at the record_path {told!r} of the template stands {what} in the start of the file; the lists and objects "
        f"there are {listed(places)}",
    )


def _value_at(text: str, at: int, path: Sequence[str]) -> Value:
    try:
        value, _ = decode_at(text, at)
    except (ValueError, RecursionError):
        return None
    for key in path:
        value = dict(value).get(key) if isinstance(value, tuple) else None
    return value


class _Walk:
    """Goes through an object's members as far as the text goes and is well-formed."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._over = False
        self._end = 0

    def object(self, at: int, path: tuple[str, ...]) -> Member:
        """The object at an index."""
        found = Member(path, at, is_list=False)
        try:
            self._members(found, path)
        except (ValueError, IndexError, RecursionError):
            self._over = True  # malformed, or the text ends here
        return found

    def _members(self, found: Member, path: tuple[str, ...]) -> None:
        text, at = self._text, found.start
        if text[blank_end(text, at + 1)] == "}":
            self._end = blank_end(text, at + 1) + 1
            return
        while at == found.start or text[at] == ",":
            key, at = decode_at(text, blank_end(text, at + 1))
            at = blank_end(text, at)
            if not isinstance(key, str) or text[at] != ":":
                raise ValueError("no key")
            at = blank_end(text, at + 1)
            if text[at] == "{" and len(path) < MAX_DEPTH:
                inner = self.object(at, (*path, key))
                found.members.append(inner)
                found.columns.update(dict.fromkeys(f"{key}.{name}" for name in inner.columns))
                at = self._end
            elif text[at] == "[":
                inner, at = self._list(at, (*path, key))
                found.members.append(inner)
                found.columns[key] = None
                found.values = found.values or not inner.has_objects
            else:
                found.columns[key], found.values = None, True
                _, at = decode_at(text, at)
            if self._over:
                return
            at = blank_end(text, at)
        if text[at] != "}":
            raise ValueError("no end")
        self._end = at + 1

    def _list(self, at: int, path: tuple[str, ...]) -> tuple[Member, int]:
        found = Member(path, at, is_list=True)
        text, end = self._text, len(self._text)
        elements: list[Value] = []
        try:
            value, end = decode_at(text, at)
            found.elements = len(value) if isinstance(value, list) else None
            elements = value[:_JUDGED_RECORDS] if isinstance(value, list) else []
        except (ValueError, RecursionError):
            self._over = True  # it goes on behind the text, or is malformed somewhere
            elements = list(islice(self._elements(at), _JUDGED_RECORDS))
        for each in elements:
            if isinstance(each, tuple):
                found.has_objects = True
                try:
                    names = flatten(each)
                    found.columns.update(dict.fromkeys(named_with_type(names)))
                    found.columns.update(dict.fromkeys(names))
                except BadRecordError:
                    continue  # an issue of the reader
        return found, end

    def _elements(self, at: int) -> Iterator[Value]:
        text = self._text
        try:
            while text[at] in "[,":
                value, at = decode_at(text, blank_end(text, at + 1))
                yield value
                at = blank_end(text, at)
        except (ValueError, IndexError, RecursionError):
            return
