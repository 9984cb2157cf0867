"""Saves what this release leaves in its stores, for the tests of the releases after it.

``python -m tests.compatibility.capture FOLDER``, in a checkout of the release: starts a stack of its own, holds its
services at chosen moments, and writes documents, messages and the schemas of the models that read them.
"""

import argparse
import contextlib
import json
import tempfile
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pymongo import MongoClient

from deploy.local.stack import running
from tests.client import GatewayClient
from tests.compatibility.dumps import indexes, messages, schemas
from tests.compatibility.inputs import BATCH_ROWS
from tests.compatibility.leavings import Capture
from tests.compatibility.scenes import configuration, dead_letters, deliveries, runs_in_every_status
from tests.compatibility.snapshots import Document

ENVIRONMENT: Mapping[str, Mapping[str, str]] = {
    "gateway": {"ROWDOCK_WAIT_SECONDS": "0"},
    "parser": {"ROWDOCK_BATCH_ROWS": str(BATCH_ROWS)},
    "writer": {"ROWDOCK_WRITER_TRANSACTIONS": "1"},
    "webhooks": {"ROWDOCK_WEBHOOK_RETRY_SECONDS": "0,3,1", "ROWDOCK_WEBHOOK_POLL_SECONDS": "0.1"},
}


class _Receiver(BaseHTTPRequestHandler):
    """Answers with the status that its path names."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


def main() -> None:
    """Capture this release into the folder that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.compatibility.capture", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    receiver = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    with (
        tempfile.TemporaryDirectory() as directory,
        running(Path(directory), environment=ENVIRONMENT) as stack,
        GatewayClient(stack.gateway, stack.api_key) as gateway,
        contextlib.closing(MongoClient[Document](stack.mongodb, tz_aware=True)) as client,
    ):
        capture = Capture(stack, gateway, client, folder)
        runs_in_every_status(capture)
        deliveries(capture, f"http://127.0.0.1:{receiver.server_port}")
        dead_letters(capture)
        configuration(capture)
        messages(capture)
        indexes(capture)
        schemas(folder)
        secrets = {"api_key": stack.api_key, "secret_key": (stack.directory / "secret_key").read_text().strip()}
        (folder / "secrets.json").write_text(json.dumps(secrets, indent=2) + "\n")
    receiver.shutdown()


if __name__ == "__main__":
    main()
