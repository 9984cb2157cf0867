"""What a release leaves in its stores, as files that the releases after it are tested against.

Documents are MongoDB's canonical extended JSON (``bson.json_util``), one a line, so that every type comes back as
it was stored. Messages are text.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bson import json_util
from pymongo.database import Database

RELEASE_0_1 = Path(__file__).with_name("release_0_1")

Document = dict[str, Any]
Collections = Mapping[str, Sequence[Document]]

_OPTIONS = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, tz_aware=True, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One situation: the documents that one run, or some configuration, consists of.

    Attributes:
        state: by collection of Rowdock's own database.
        target: records by target resource.
        target_indexes: unique indexes by target resource, as ``listIndexes`` shows them.
    """

    state: Collections = field(default_factory=dict[str, Sequence[Document]])
    target: Collections = field(default_factory=dict[str, Sequence[Document]])
    target_indexes: Collections = field(default_factory=dict[str, Sequence[Document]])

    def one(self, collection: str) -> Document:
        """The only document of a collection of the state."""
        (document,) = self.state[collection]
        return document

    def save(self, file: Path) -> None:
        parts = {"state": self.state, "target": self.target, "target_indexes": self.target_indexes}
        _write(file, {name: collections for name, collections in parts.items() if collections})

    @classmethod
    def load(cls, file: Path) -> "Snapshot":
        return cls(**json_util.loads(file.read_text(), json_options=_OPTIONS))

    def brought_to(self, moment: datetime) -> "Snapshot":
        """The same, as if it had been left at ``moment``: leases run out, and rows expire, by the clock.

        Only times of the day of the capture are moved: others are data of users.
        """
        captured = max(_times(self.state))

        def moved(value: Any) -> Any:  # noqa: ANN401 - any value of a document
            match value:
                case datetime() if abs(value - captured) < timedelta(days=1):
                    return value + (moment - captured)
                case dict():
                    return {key: moved(each) for key, each in value.items()}
                case list():
                    return [moved(each) for each in value]
                case _:
                    return value

        return Snapshot(moved(self.state), moved(self.target), self.target_indexes)

    def restore(self, state: Database[Document], target: Database[Document]) -> None:
        """Put everything where the release had it, in place of what an earlier test made of it."""
        for name in {*self.target, *self.target_indexes}:
            target.drop_collection(name)
        for run in self.state.get("runs", ()):
            target.drop_collection(run["template"]["target_resource"])
            for name in ("batches", "batch_payloads", "rejected_records", "undo", "webhook_deliveries"):
                state[name].delete_many({"run_id": run["_id"]})
        # Runs at the end, as ever: a parser takes them as soon as it sees them.
        everything = [(target, *each) for each in self.target.items()] + [(state, *each) for each in self.state.items()]
        for database, name, documents in sorted(everything, key=lambda each: each[1] == "runs"):
            database[name].delete_many({"_id": {"$in": [document["_id"] for document in documents]}})
            if documents:
                database[name].insert_many(documents)
        for name, indexes in self.target_indexes.items():
            target.command("createIndexes", name, indexes=indexes)


def _times(value: object) -> Iterator[datetime]:
    match value:
        case datetime():
            yield value
        case dict():
            for each in value.values():
                yield from _times(each)
        case list():
            for each in value:
                yield from _times(each)
        case _:
            return


def save_documents(file: Path, documents: Collections) -> None:
    """Write documents under names that the caller chooses."""
    _write(file, {"documents": documents})


def load_documents(file: Path) -> Collections:
    """What ``save_documents`` wrote."""
    return json_util.loads(file.read_text(), json_options=_OPTIONS)["documents"]


def load_secrets(folder: Path) -> dict[str, str]:
    """``api_key`` of the organization, and ``secret_key`` that encrypted the secrets of its webhooks."""
    return json.loads((folder / "secrets.json").read_text())


def _write(file: Path, parts: Mapping[str, Collections]) -> None:
    def collection(name: str, documents: Sequence[Document]) -> str:
        lines = ",\n".join(_one_line(document) for document in documents)
        return f"{_one_line(name)}: [\n{lines}\n]"

    def part(name: str, collections: Collections) -> str:
        body = ",\n".join(collection(*entry) for entry in collections.items())
        return f"{_one_line(name)}: {{\n{body}\n}}"

    file.write_text("{\n" + ",\n".join(part(*entry) for entry in parts.items()) + "\n}\n")


def _one_line(value: object) -> str:
    return json_util.dumps(value, json_options=_OPTIONS, separators=(",", ":"), ensure_ascii=False)
