"""Keeps a copy of imported records up to date from ``records.changed.v1``: ``python record_events.py localhost:9092``.

Needs nothing of Rowdock, and ``pip install aiokafka``. The templates need ``"record_events": "values"``.
"""

import asyncio
import json
import sys
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer

Key = tuple[str, str, str]
"""Organization, resource, id of the record."""
BECOMES = {"created": "live", "returned": "live", "deleted": "deleted", "removed": "removed"}
"""What the other operations leave as it is: ``updated`` and ``restored`` change fields."""


@dataclass
class Copy:
    """What is known of one record, each part with the sequence of the change that it is from."""

    state: tuple[str, str] = ("", "live")
    fields: dict[str, tuple[str, bool, Any]] = field(default_factory=dict)
    unread: str = ""

    def take(self, sequence: str, change: dict[str, Any]) -> None:
        """Take a change, whatever came before: of each part the one with the greatest sequence stays."""
        if change["operation"] in BECOMES and sequence >= self.state[0]:
            self.state = sequence, BECOMES[change["operation"]]
        if change.get("values_left_out"):
            self.unread = max(self.unread, sequence)
        values = change.get("values") or {}
        for name in {*values, *(change.get("fields") or ())}:
            if sequence >= self.fields.get(name, ("",))[0]:
                self.fields[name] = sequence, name in values, values.get(name)


class Fold:
    """Copies of all records; messages may come again and in any order."""

    def __init__(self) -> None:
        self.copies: dict[Key, Copy] = {}

    def take(self, message: dict[str, Any]) -> None:
        """Take one message."""
        for change in message["changes"]:
            key = message["tenant_id"], message["resource"], change["id"]
            self.copies.setdefault(key, Copy()).take(message["sequence"], change)

    def records(self, tenant_id: str, resource: str) -> dict[str, dict[str, Any]]:
        """The records of one resource as they are now: ``is_deleted`` and their fields, by id."""
        return {
            record_id: {
                "is_deleted": copy.state[1] == "deleted",
                "fields": {name: value for name, (_, present, value) in copy.fields.items() if present},
            }
            for (tenant, collection, record_id), copy in self.copies.items()
            if (tenant, collection) == (tenant_id, resource) and copy.state[1] != "removed"
        }


async def follow(kafka: str, fold: Fold) -> None:
    """Read the topic from its beginning, for ever."""
    consumer = AIOKafkaConsumer("records.changed.v1", bootstrap_servers=kafka, auto_offset_reset="earliest")
    async with consumer:
        async for message in consumer:
            changed = json.loads(message.value)
            fold.take(changed)
            print(changed["sequence"], changed["resource"], len(changed["changes"]), "records")  # noqa: T201


if __name__ == "__main__":
    asyncio.run(follow(sys.argv[1] if len(sys.argv) > 1 else "localhost:9092", Fold()))
