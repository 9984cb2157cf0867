"""Queries of services that read a whole collection: with a year of imports in it each of them would take seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient

from deploy.local.stack import Stack


@contextmanager
def watched(stack: Stack, found: list[str]) -> Iterator[None]:
    """Add a line to ``found`` for each kind of query that read a whole collection of Rowdock's own meanwhile."""
    with MongoClient[dict[str, Any]](stack.mongodb) as client:
        state = client[stack.database]
        ours = {"appName": "rowdock", "planSummary": {"$regex": "COLLSCAN"}}
        state.command({"profile": 1, "filter": ours})
        yield
        state.command({"profile": 0, "filter": "unset"})
        for operation in state["system.profile"].aggregate(
            [{"$group": {"_id": {"ns": "$ns", "op": "$op"}, "times": {"$sum": 1}, "command": {"$first": "$command"}}}]
        ):
            kind = operation["_id"]
            found.append(f"{kind['op']} of {kind['ns']}, {operation['times']} times: {operation['command']!r:.500}")
