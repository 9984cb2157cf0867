"""The shape of a request: which parts pydantic refuses, where they stand, and what is left without them.

What the parts *mean* is judged afterwards on what is left, so that a client is told everything at once and
the judges of the meaning see no value of a wrong type.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from services.gateway.errors import Problem
from services.gateway.http.places import Path, path_text
from services.gateway.http.wording import explain

Json = dict[str, Any]


class Part(BaseModel):
    """A part of a request: nothing is coerced, and unknown members are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def present(**values: object) -> Json:
    """``values`` without those that are ``None``."""
    return {key: value for key, value in values.items() if value is not None}


def objects(raw: Mapping[str, Any], key: str) -> list[tuple[int, Json]]:
    """The objects in the list ``raw[key]``, with their indexes; what is no object is refused already."""
    entries = cast("list[object]", raw.get(key) or [])
    return [(number, cast("Json", entry)) for number, entry in enumerate(entries) if isinstance(entry, dict)]


@dataclass(slots=True)
class Problems:
    """Everything that is wrong with a request, as it is found."""

    found: list[Problem] = field(default_factory=list[Problem])

    def add(self, location: str, code: str, message: str) -> None:
        """Note a problem, unless something is ``MISSING`` only because it, or a part of it, was refused already."""
        if code != "MISSING" or not self.within(location):
            self.found.append(Problem(location, code, message))

    def within(self, location: str) -> bool:
        """Whether there is a problem at this place or at a part of it."""
        return any(
            each.location == location or each.location.startswith((f"{location}.", f"{location}["))
            for each in self.found
        )

    def in_order(self) -> tuple[Problem, ...]:
        """Each once, sorted by place; numbers in a location count as numbers."""

        def place(problem: Problem) -> list[tuple[int, str]]:
            parts = re.split(r"(\d+)", problem.location)
            return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]

        return tuple(sorted(dict.fromkeys(self.found), key=place))

    def shape(self, model: type[BaseModel], raw: Json, location: str) -> Json:
        """Note what ``model`` refuses in ``raw``.

        Returns:
            A copy of ``raw`` without the refused members; refused entries of a list are ``None`` in it.
        """
        try:
            model.model_validate(raw)
        except ValidationError as error:
            kept = cast("Json", _copied(raw))
            # The innermost first, while what they are in is still there.
            for path in sorted(self.refusals(error, raw, location), key=len, reverse=True):
                _remove(kept, path)
            return kept
        return raw

    def refusals(
        self, error: ValidationError, raw: object, location: str, names: Mapping[str, str] = MappingProxyType({})
    ) -> list[Path]:
        """Note the errors of pydantic about ``raw``, one for each place.

        Args:
            error: what pydantic says.
            raw: what it was given.
            location: where ``raw`` stands in the request.
            names: what the request calls members of ``raw`` that have another name there.

        Returns:
            The paths to what was refused, in ``raw``.
        """
        by_path: dict[Path, list[Json]] = {}
        for entry in error.errors():
            by_path.setdefault(_path_in(raw, entry), []).append(cast("Json", entry))
        for path, entries in by_path.items():
            place = location + path_text(tuple(names.get(str(step), step) for step in path[:1]) + path[1:])
            if not self.within(place):
                self.add(place, *explain(entries))
        return list(by_path)


def _path_in(raw: object, error: Mapping[str, Any]) -> Path:
    """The place of an error as far as it lies in ``raw``: pydantic adds the names of a union's types."""
    path: list[int | str] = []
    for step in cast("Path", error["loc"]):
        if isinstance(raw, Mapping):
            members = cast("Mapping[object, object]", raw)
            if step not in members and error["type"] != "missing":
                break
            raw = members.get(step)
        elif isinstance(raw, list | tuple) and isinstance(step, int):
            entries = cast("list[object]", raw)
            raw = entries[step]
        else:
            break
        path.append(step)
    return tuple(path)


def _copied(value: object) -> object:
    if isinstance(value, dict):
        return {key: _copied(member) for key, member in cast("Json", value).items()}
    return [_copied(entry) for entry in cast("list[object]", value)] if isinstance(value, list) else value


def _remove(raw: Json, path: Path) -> None:
    container: Any = raw
    for step in path[:-1]:
        container = container[step]
    last = path[-1]
    if isinstance(last, int):
        container[last] = None
    else:
        container.pop(last, None)
