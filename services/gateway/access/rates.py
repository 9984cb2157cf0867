"""How often a caller may ask in a minute, counted in the database alone.

A window begins with the first request after the one before has ended, and lasts a minute of the database's clock; the
clock of a gateway has no say. One update of one document decides and counts at once, so any number of gateways let
pass exactly what the limit says, and none of them takes a count with it when it dies. What is refused is not counted.
"""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from libs.storage.client import Document

WINDOW_SECONDS = 60
_WINDOW_MS = WINDOW_SECONDS * 1000
_LONG_AGO = datetime.fromtimestamp(0, UTC)
UNLIMITED = 0


class Kind(StrEnum):
    """What a request is counted as."""

    READS = "reads"
    WRITES = "writes"


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests of a minute by their kind; ``UNLIMITED`` for any number."""

    reads: int
    writes: int

    def of(self, kind: Kind) -> int:
        return self.reads if kind is Kind.READS else self.writes


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a request has been told about its limit.

    Attributes:
        kind: what it was counted as.
        limit: requests that pass in a window.
        remaining: how many more do in this one.
        resets_at: when it ends, in seconds since 1970 by the clock of the database.
        seconds_left: until then.
        passed: whether this request does.
    """

    kind: Kind
    limit: int
    remaining: int
    resets_at: int
    seconds_left: float
    passed: bool

    @property
    def retry_after(self) -> int:
        """Whole seconds until there is room again."""
        return max(1, math.ceil(self.seconds_left))

    def after(self, seconds_left: float) -> Self:
        """The same when fewer seconds are left."""
        return replace(self, seconds_left=seconds_left)


def counting(kind: Kind, wanted: int, plan_limit: int) -> list[Document]:
    """The stages of an update that lets so many of ``wanted`` requests pass as there is room for.

    They read and write ``counted.<kind>``: ``{count, granted, limit, at, until}``; ``rate_limits.<kind>`` of the same
    document, where it is a number, goes before ``plan_limit``. Where the limit is ``UNLIMITED`` nothing is counted.
    ``last_used_at`` is renewed once a minute.
    """
    stored = f"$counted.{kind}"
    ended = {
        "$or": [
            {"$lte": [{"$ifNull": [f"{stored}.until", _LONG_AGO]}, "$$NOW"]},
            # Another server, whose clock is ahead, was the primary.
            {"$gt": [f"{stored}.until", {"$add": ["$$NOW", _WINDOW_MS]}]},
        ]
    }
    window = _let(
        {"old": {"$cond": ["$$ended", 0, f"{stored}.count"]}},
        _let(
            {"granted": {"$max": [0, {"$min": [wanted, {"$subtract": ["$$limit", "$$old"]}]}]}},
            {
                "count": {"$add": ["$$old", "$$granted"]},
                "granted": "$$granted",
                "limit": "$$limit",
                "at": "$$NOW",
                "until": {"$cond": ["$$ended", {"$add": ["$$NOW", _WINDOW_MS]}, f"{stored}.until"]},
            },
        ),
    )
    unused_for = {"$subtract": ["$$NOW", {"$ifNull": ["$last_used_at", _LONG_AGO]}]}
    return [
        {
            "$set": {
                f"counted.{kind}": _let(
                    {"limit": {"$ifNull": [f"$rate_limits.{kind}", plan_limit]}, "ended": ended},
                    {"$cond": [{"$eq": ["$$limit", UNLIMITED]}, "$$REMOVE", window]},
                ),
                "last_used_at": {"$cond": [{"$gte": [unused_for, _WINDOW_MS]}, "$$NOW", "$last_used_at"]},
            }
        }
    ]


def allowances(kind: Kind, wanted: int, updated: Document) -> list[Allowance | None]:
    """What each of ``wanted`` requests, in the order in which they came, is told by the document that ``counting`` has
    updated; ``None`` where there is no limit."""
    window: dict[str, Any] | None = updated.get("counted", {}).get(kind)
    if window is None:
        return [None] * wanted
    limit, granted = int(window["limit"]), int(window["granted"])
    room = limit - int(window["count"]) + granted
    return [
        Allowance(
            kind=kind,
            limit=limit,
            remaining=max(0, room - place - 1),
            resets_at=math.ceil(window["until"].timestamp()),
            seconds_left=(window["until"] - window["at"]).total_seconds(),
            passed=place < granted,
        )
        for place in range(wanted)
    ]


def _let(variables: Document, value: Document) -> Document:
    return {"$let": {"vars": variables, "in": value}}
