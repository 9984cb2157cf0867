"""The stack that is captured: holds its services, waits for its runs, and saves what they leave."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo import MongoClient

from deploy.local.stack import Stack, restart
from tests.client import GatewayClient, eventually
from tests.compatibility.inputs import ROWS, template_body
from tests.compatibility.snapshots import Document, Snapshot

HELD = "pause=3600"


class Capture:
    """One stack, and the folder that its leavings go to."""

    def __init__(self, stack: Stack, gateway: GatewayClient, client: MongoClient[Document], folder: Path) -> None:
        self.stack = stack
        self.gateway = gateway
        self.state = client[stack.database]
        self.target = client[stack.target_database]
        self.folder = folder

    # --- holding services -----------------------------------------------------------------------

    @contextmanager
    def held(self, service: str, point: str | None = None, at: str = HELD) -> Iterator[None]:
        """A service that is stopped, or does something at a failpoint: by default, nothing any more."""
        name = f"{service}-1"
        if point is None:
            self.stack.supervisor.stop([name])
        else:
            restart(self.stack, name, {"FAILPOINT": f"{point}:{at}"})
        try:
            yield
        finally:
            self.stack.supervisor.kill(name)
            restart(self.stack, name, {"FAILPOINT": ""})

    # --- doing and waiting ----------------------------------------------------------------------

    def template(self, name: str, **changes: Any) -> str:  # noqa: ANN401 - members of a JSON document
        """Create a template of ``ROWS`` whose records go into a resource of its own; its id."""
        return self.gateway.create_template(template_body(name, **changes))["id"]

    def upload(self, template_id: str, content: bytes = ROWS, name: str = "rows.csv") -> str:
        return self.gateway.upload(template_id, content, name)["id"]

    def run(self, run_id: str) -> Document:
        run = self.state["runs"].find_one({"_id": run_id})
        assert run is not None
        return run

    def until(self, run_id: str, what: str, holds: Callable[[Document], object]) -> None:
        eventually(lambda: holds(self.run(run_id)), f"{run_id} {what}: {self.run(run_id)['status']}", 60)

    def reached(self, run_id: str, status: str) -> None:
        self.until(run_id, status, lambda run: run["status"] == status)
        eventually(lambda: not self.state["outbox"].count_documents({"value": {"$regex": run_id}}), "all is told")

    def batches(self, run_id: str, state: str) -> int:
        return self.state["batches"].count_documents({"run_id": run_id, "state": state})

    def completed(self, template_id: str, content: bytes) -> str:
        run_id = self.upload(template_id, content)
        self.reached(run_id, "validated")
        self.gateway.execute(run_id)
        self.reached(run_id, "completed")
        return run_id

    # --- saving ---------------------------------------------------------------------------------

    def save(self, name: str, run_id: str) -> None:
        """Everything of a run as it is now, and the records of its resource."""
        queries: dict[str, Document] = {
            "runs": {"_id": run_id},
            "batches": {"run_id": run_id},
            "batch_payloads": {"run_id": run_id},
            "rejected_records": {"run_id": run_id},
            "undo": {"run_id": run_id},
            "outbox": {"value": {"$regex": run_id}},
            "webhook_deliveries": {"run_id": run_id},
            "files.files": {"_id": ObjectId(run_id)},
            "files.chunks": {"files_id": ObjectId(run_id)},
        }
        state = {collection: list(self.state[collection].find(query)) for collection, query in queries.items()}
        resource = self.run(run_id)["template"]["target_resource"]
        records = list(self.target[resource].find())
        indexes = [index.to_dict() for index in self.target[resource].list_indexes() if index["name"] != "_id_"]
        Snapshot(
            {collection: documents for collection, documents in state.items() if documents},
            {resource: records} if records else {},
            {resource: indexes} if indexes else {},
        ).save(self.folder / f"{name}.json")

    def save_all(self, name: str, **queries: Document) -> None:
        """What queries by collection find now."""
        found = {collection: list(self.state[collection].find(query)) for collection, query in queries.items()}
        Snapshot(found).save(self.folder / f"{name}.json")
