"""What MongoDB examines to answer: documents and keys of indexes, told by its profiler."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from pymongo import MongoClient
from pymongo.database import Database

PROFILE: Final = "system.profile"
PROFILE_BYTES: Final = 64 * 1024**2
OURS: Final = {"appName": "rowdock"}
"""Of what the services ask, not of what somebody asks who looks at them."""
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """Commands of the same shape.

    Attributes:
        name: collection, operation, index, and the fields that were asked for.
        commands: how many.
        documents, keys: examined by all of them.
        most: documents and keys examined by the one that examined most.
    """

    name: str
    commands: int
    documents: int
    keys: int
    most: int


@dataclass(slots=True)
class Examined:
    """What was asked meanwhile; filled in at the end.

    Attributes:
        seconds: how long it was looked at.
        kinds: those that examined most first.
    """

    seconds: float = 0.0
    kinds: list[Kind] = field(default_factory=list[Kind])

    @property
    def commands(self) -> int:
        """How many."""
        return sum(each.commands for each in self.kinds)

    @property
    def documents(self) -> int:
        """Examined by all of them."""
        return sum(each.documents for each in self.kinds)

    @property
    def keys(self) -> int:
        """Examined by all of them."""
        return sum(each.keys for each in self.kinds)


@contextmanager
def examined(client: MongoClient[Document], *databases: str) -> Iterator[Examined]:
    """Profile what services ask of the databases for the length of a block."""
    found, began = Examined(), time.monotonic()
    for name in databases:
        _begin(client[name])
    try:
        yield found
    finally:
        found.seconds = time.monotonic() - began
        for name in databases:
            client[name].command({"profile": 0, "filter": "unset"})
        found.kinds = sorted((each for name in databases for each in _kinds(client[name])), key=lambda each: -each.most)


def _begin(database: Database[Document]) -> None:
    database.command({"profile": 0, "filter": "unset"})
    database.drop_collection(PROFILE)
    database.create_collection(PROFILE, capped=True, size=PROFILE_BYTES)
    database.command({"profile": 1, "filter": OURS})


def _kinds(database: Database[Document]) -> list[Kind]:
    grouped: dict[str, list[tuple[int, int]]] = {}
    for each in database[PROFILE].find({}):
        counts = int(each.get("docsExamined", 0)), int(each.get("keysExamined", 0))
        grouped.setdefault(_name(each), []).append(counts)
    return [
        Kind(name, len(some), sum(each[0] for each in some), sum(each[1] for each in some), max(map(sum, some)))
        for name, some in grouped.items()
    ]


def _name(operation: Document) -> str:
    command = operation.get("originatingCommand", operation.get("command", {}))
    collection = str(operation["ns"]).partition(".")[2]
    asked: Any = command.get("filter") or command.get("query") or command.get("q") or command.get("pipeline") or {}
    if isinstance(asked, list):
        asked = asked[0].get("$match", asked[0]) if asked else {}
    shape = ",".join(sorted(map(str, asked)))
    verb = next(iter(command), operation["op"])
    return f"{collection} {verb} {operation.get('planSummary', '')} ({shape})"
