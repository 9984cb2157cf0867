"""Where the parts of a model stand in the request that it was read from."""

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from services.gateway.errors import GatewayError
from services.gateway.shown import shown

Path = tuple[int | str, ...]
"""The way to a part of a JSON value: indexes of lists, names of members."""
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def path_text(path: Path) -> str:
    """A path behind a place, such as ``.field_mapping[2].target``; a name that is no plain word stands in brackets."""
    return "".join(map(_step, path))


def _step(step: int | str) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _PLAIN_NAME.fullmatch(step) else f"[{shown(step)}]"


@dataclass(slots=True)
class Places:
    """Translates paths of the model, such as ``fields[2].rules[0].pattern``, into places of a request.

    A path is translated by its longest known beginning; what is behind that keeps its name.

    Attributes:
        root: where the model as a whole stands, such as ``body`` or ``body.template``.
        names: what the request calls members that it calls otherwise, such as ``mode``: ``import_mode``; nothing where
            their own members stand directly at the root.
    """

    root: str
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    _known: dict[str, tuple[str, bool]] = field(default_factory=dict[str, tuple[str, bool]])

    def put(self, path: str, place: str, *, whole: bool = False) -> None:
        """Say that ``path`` stands at ``place``; with ``whole``, its parts have no place of their own."""
        self._known[path] = (place, whole)

    def of(self, path: str) -> str:
        """The place of ``path`` in the request."""
        for beginning in _beginnings(path):
            rest = path[len(beginning) :]
            if beginning in self._known:
                place, whole = self._known[beginning]
                return place if whole else place + rest
            if beginning in self.names:
                name = self.names[beginning]
                return f"{self.root}.{name}{rest}" if name else f"{self.root}{rest}"
        return f"{self.root}.{path}" if path else self.root

    @contextmanager
    def translating(self) -> Generator[None]:
        """Raise the errors of capabilities with places of the request instead of paths of the model."""
        try:
            yield
        except GatewayError as error:
            raise error.placed(self.of) from error


def _beginnings(path: str) -> Iterator[str]:
    """``path`` and what it begins with, at its dots and brackets, the longest first."""
    yield path
    for end in range(len(path) - 1, 0, -1):
        if path[end] in ".[":
            yield path[:end]
