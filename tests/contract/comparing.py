"""Compares answers with the examples of a reference, member by member."""

import json
import re
from collections.abc import Collection
from datetime import datetime
from typing import Any, cast
from uuid import UUID

ANYTHING = "..."
_COMMENT = re.compile(r"//[^\n]*")


def quoted(example: str) -> Any:  # noqa: ANN401 - any JSON
    """The JSON of an example; ``[...]`` is a list of anything, and comments are left out."""
    outside = re.split(r'("(?:[^"\\]|\\.)*")', example)
    # What stands in texts, such as an address, is no comment.
    return json.loads("".join(part if part.startswith('"') else _plain(part) for part in outside))


def _plain(text: str) -> str:
    return _COMMENT.sub("", text).replace("[...]", json.dumps([ANYTHING]))


def assert_like(answer: object, example: object, additions: Collection[str] = (), place: str = "answer") -> None:
    """Fail where ``answer`` lacks a member of ``example``, has one of another type, or others than these and the
    ``additions``.

    Entries of a list have to be like those of the example's; each of them, where that has one. Where the example has
    null, anything may stand; where it has an id or a time, it has to be one of the same form.
    """
    match example:
        case dict():
            wanted = cast("dict[str, object]", example)
            assert isinstance(answer, dict), place
            found = cast("dict[str, object]", answer)
            assert found.keys() == wanted.keys() | set(additions), place
            for name, member in wanted.items():
                assert_like(found[name], member, (), f"{place}.{name}")
        case list():
            assert isinstance(answer, list), place
            entries, listed = cast("list[object]", example), cast("list[object]", answer)
            if entries == [ANYTHING]:
                return
            entries = entries * len(listed) if len(entries) == 1 else entries
            for number, (each, entry) in enumerate(zip(listed, entries, strict=True)):
                assert_like(each, entry, additions, f"{place}[{number}]")
        case str():
            assert isinstance(answer, str), place
            _assert_same_form(answer, example, place)
        case None:
            pass
        case _:
            assert type(answer) is type(example), f"{place} is {answer!r}, and {example!r} in the reference"


def _assert_same_form(answer: str, example: str, place: str) -> None:
    if example == "uuid":
        assert str(UUID(answer)) == answer, place
    elif example == "uuid-key-string":
        assert UUID(answer).version == 4, place
    elif re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}Z", example):
        assert answer.endswith("Z"), place
        assert datetime.fromisoformat(answer).tzinfo is not None, place
