"""The shape of a request: which parts pydantic refuses, where they stand, and what is left without them.

What the parts *mean* is judged afterwards on what is left, so that a client is told everything at once and
the judges of the meaning see no value of a wrong type.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from services.gateway.errors import InvalidInputError, Problem, invalid_input
from services.gateway.http.places import Path, path_text
from services.gateway.http.wording import explain

Json = dict[str, Any]
MAX_FOUND = 1_000
"""How many problems of a request are looked at; an error lists the first of them."""
MAX_NAMED = 10_000
"""How many errors of pydantic are asked for at once, which nothing interrupts."""


class Part(BaseModel):
    """A part of a request: nothing is coerced, and unknown members are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Asked = TypeVar("Asked", bound=Part)


def present(**values: object) -> Json:
    """``values`` without those that are ``None``."""
    return {key: value for key, value in values.items() if value is not None}


def objects(raw: Mapping[str, Any], key: str) -> list[tuple[int, Json]]:
    """The objects in the list ``raw[key]``, with their indexes; what is no object is refused already."""
    entries = cast("list[object]", raw.get(key) or [])
    return [(number, cast("Json", entry)) for number, entry in enumerate(entries) if isinstance(entry, dict)]


@dataclass(slots=True)
class Problems:
    """What is wrong with a request, as it is found; where it is more than anybody reads, the rest is counted only.

    Attributes:
        found: the problems, in the order in which they were found.
        untold: how many more there are.
    """

    found: list[Problem] = field(default_factory=list[Problem])
    untold: int = 0
    _refused: set[str] = field(default_factory=set[str])
    """The places of ``found``, and what they are parts of."""

    @property
    def full(self) -> bool:
        """Whether further problems are counted only."""
        return len(self.found) >= MAX_FOUND

    def add(self, location: str, code: str, message: str) -> None:
        """Note a problem, unless something is ``MISSING`` only because it, or a part of it, was refused already."""
        if code == "MISSING" and self.within(location):
            return
        if self.full:
            self.untold += 1
            return
        self.found.append(Problem(location, code, message))
        self._refused.add(location)
        self._refused.update(location[:end] for end, sign in enumerate(location) if sign in ".[")

    def within(self, location: str) -> bool:
        """Whether there is a problem at this place or at a part of it."""
        return location in self._refused

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
            if self.full or error.error_count() > MAX_NAMED:
                self._count(error, location)
                return {}
            kept = cast("Json", _copied(raw))
            # The innermost first, while what they are in is still there.
            for path in sorted(self.refusals(error, raw, location), key=len, reverse=True):
                _remove(kept, path)
            return kept
        return raw

    def entry(self, model: type[BaseModel], raw: object, location: str) -> Json | None:
        """``shape`` of an entry of a list; ``None`` for what is no object."""
        if isinstance(raw, dict):
            return self.shape(model, cast("Json", raw), location)
        try:
            model.model_validate(raw)
        except ValidationError as error:
            self.refusals(error, raw, location)
        return None

    def _count(self, error: ValidationError, location: str) -> None:
        """Note errors that are not looked at one by one: naming a hundred thousand of them would take a second."""
        if self.full:
            self.untold += error.error_count()
        else:
            self.add(location, "INVALID", f"{error.error_count():,} parts of it cannot be read; mend the template")

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
        for entry in error.errors(include_url=False):
            by_path.setdefault(_path_in(raw, entry), []).append(cast("Json", entry))
        for path, entries in by_path.items():
            place = location + path_text(tuple(names.get(str(step), step) for step in path[:1]) + path[1:])
            if not self.within(place):
                self.add(place, *explain(entries))
        return list(by_path)


def _path_in(raw: object, error: Mapping[str, Any]) -> Path:
    """The place of an error as far as it lies in ``raw``: pydantic adds the names of a union's types."""
    path: list[int | str] = []
    steps = cast("Path", error["loc"])
    for number, step in enumerate(steps, 1):
        if isinstance(raw, Mapping):
            members = cast("Mapping[object, object]", raw)
            missing = error["type"] == "missing" and number == len(steps)
            if step not in members and not missing:
                continue
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


def read_part(model: type[Asked], body: object) -> tuple[Asked, Json]:
    """What a request asks for, of the shape of ``model``, and its members as they were sent.

    Raises:
        InvalidInputError: it has another shape.
    """
    if not isinstance(body, dict):
        raise invalid_input(Problem("body", "INVALID", "must be a JSON object {…}"))
    problems, members = Problems(), cast("Json", body)
    problems.shape(model, members, "body")
    if problems.found:
        raise InvalidInputError("INVALID_REQUEST", None, problems.in_order(), problems.untold)
    return model.model_validate(members), members
