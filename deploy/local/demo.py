"""A real import from upload to webhook, on the real servers and by Rowdock's own client.

``python -m deploy.local.demo``, or ``make demo``.

The demo leaves a developer's own stack and data alone: it lives in ``demo`` within the directory of the local stack
and begins with it empty, so with an organization of its own, and nothing of an earlier demo can matter.
"""

import csv
import json
import os
import queue
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from bson import json_util
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from standardwebhooks import Webhook, WebhookVerificationError

from deploy.local.progress import Progress
from deploy.local.stack import Stack, down, local_directory, running
from deploy.local.supervision import CHECKOUT
from deploy.local.waiting import LocalStackError
from rowdock_client import Rowdock, RowdockError, Source
from rowdock_client.cli.display import displayed
from rowdock_client.models import EngineTemplateView, RunView
from rowdock_client.progress import Progress as RunProgress

EXAMPLES = CHECKOUT / "examples"
FILES = ("airports.csv", "airports-faulty.csv")
RUN_SECONDS = 60
WEBHOOK_SECONDS = 30
SHOWN_ROWS = 2
Document = dict[str, Any]


class DemoError(Exception):
    """Something did not happen as it has to."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Where rows ended."""

    rows: int = 0
    written: int = 0
    rejected: int = 0
    skipped: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.rows + other.rows,
            self.written + other.written,
            self.rejected + other.rejected,
            self.skipped + other.skipped,
        )

    @classmethod
    def of(cls, run: RunView) -> "Counts":
        """The counts of a run as the gateway shows it."""
        return cls(run.total_rows, run.written_count, run.rejected_count, run.skipped_count)


class Receiver:
    """A product's own webhook endpoint: takes what it can verify, refuses the rest."""

    def __init__(self) -> None:
        received: queue.Queue[Document] = queue.Queue()
        self.refused: list[str] = []
        self._verifier: Webhook | None = None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                self.send_response(receiver.take(body, dict(self.headers.items())))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class
                del format, args

        self._received = received
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/imports"

    @contextmanager
    def listening(self) -> Iterator["Receiver"]:
        """Receive for the length of a block."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def trust(self, secret: str) -> None:
        """Verify with the secret that the gateway showed when the template was made."""
        self._verifier = Webhook(secret)

    def take(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Verify and keep one request; the HTTP status to answer with."""
        if self._verifier is None:
            return 503
        try:
            self._verifier.verify(body, dict(headers))
        except WebhookVerificationError as error:
            self.refused.append(str(error))
            return 400
        self._received.put(json.loads(body))
        return 204

    def wait_for(self, event_type: str, run_id: str) -> Document:
        """The verified webhook of one event of one run.

        Raises:
            DemoError: it does not come in time.
        """
        deadline = time.monotonic() + WEBHOOK_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            try:
                body = self._received.get(timeout=left)
            except queue.Empty:
                break
            if body["type"] == event_type and body["data"]["run_id"] == run_id:
                return body
        raise DemoError(f"no webhook {event_type} within {WEBHOOK_SECONDS} s; refused: {self.refused or 'none'}")


class Demo:
    """The story: template, two files, rejected rows, a record, a webhook."""

    def __init__(self, stack: Stack, gateway: Rowdock, receiver: Receiver, progress: Progress) -> None:
        self._stack = stack
        self._gateway = gateway
        self._receiver = receiver
        self._progress = progress
        self._console = progress.console

    def play(self) -> Counts:
        """Everything in order; the counts of both files added up.

        Raises:
            DemoError: a step went wrong or the rows do not add up.
            RowdockError: the gateway refused something, a run failed, or took too long.
        """
        template = self._create_template()
        first, second = (EXAMPLES / name for name in FILES)
        total = _checked(first, self._import(first, template.id))
        run = self._import(second, template.id)
        total += _checked(second, run)
        self._show_rejected(run.id)
        self._show_record(run.id, template.target_resource)
        with self._progress.step("Waiting for the webhook") as step:
            webhook = self._receiver.wait_for("import.completed", run.id)
            step.result = "arrived, signature verified"
        self._show(webhook)
        return total

    def _create_template(self) -> EngineTemplateView:
        with self._progress.step("Creating the template examples/airports-template.json") as step:
            blueprint = json.loads((EXAMPLES / "airports-template.json").read_text())
            template = self._gateway.create_template({**blueprint, "webhook_url": self._receiver.url})
            if template.webhook_secret is None:
                raise DemoError("the answer to a new template does not have the secret of its webhooks")
            self._receiver.trust(template.webhook_secret)
            step.result = f"{len(template.field_mapping)} fields, upsert by {template.upsert_key}"
        return template

    def _import(self, file: Path, template_id: str) -> RunView:
        with self._progress.step(f"Uploading and checking {file.name}") as step, displayed(self._console) as display:
            source = Source.of(file, told=display.sent)
            watch = self._watch(display.seen)
            run = self._gateway.check_file(source, template_id, watch=watch, seconds=RUN_SECONDS)
            step.result = f"{run.valid_rows} of {run.total_rows} rows are valid"
        with self._progress.step(f"Writing {file.name}") as step, displayed(self._console) as display:
            run = self._gateway.write_run(run.id, watch=self._watch(display.seen), seconds=RUN_SECONDS)
            step.result = f"{run.created_count} created, {run.updated_count} updated"
        counts = {
            "rows": run.total_rows,
            "written": run.written_count,
            "rejected": run.rejected_count,
            "skipped": run.skipped_count,
            "created": run.created_count,
            "updated": run.updated_count,
        }
        table = Table(*counts, title=file.name, title_justify="left")
        table.add_row(*map(str, counts.values()))
        self._console.print(table)
        for reason, count in run.skipped.items():
            self._console.print(f"  skipped because {reason}: {count}")
        return run

    def _watch(self, draw: Callable[[RunProgress], None]) -> Callable[[RunProgress], None]:
        """Draw the progress of a run where the console is a terminal; elsewhere print a line whenever it is another."""
        shown = ""

        def print_line(progress: RunProgress) -> None:
            nonlocal shown
            if (line := _progress_line(progress)) != shown:
                self._console.print(f"  [dim]{line}[/]")
                shown = line

        return draw if self._console.is_terminal else print_line

    def _show_rejected(self, run_id: str) -> None:
        rows = self._gateway.list_rejected(run_id, limit=SHOWN_ROWS).data
        if len(rows) < SHOWN_ROWS:
            raise DemoError(f"expected {SHOWN_ROWS} rejected rows, found {len(rows)}")
        self._console.print(f"The first {SHOWN_ROWS} rejected rows:")
        for rejected in rows:
            cells = ",".join(cell or "" for cell in rejected.cells)
            self._console.print(f"  row {rejected.row}: {escape(cells)}")
            for error in rejected.errors:
                self._console.print(f"    [red]{error['field']} {error['code']}[/]: {escape(error['message'])}")

    def _show_record(self, run_id: str, resource: str) -> None:
        """Read a record as the target collection's own application would: from MongoDB."""
        with MongoClient[Document](self._stack.mongodb, tz_aware=True) as client:
            record = client[self._stack.target_database][resource].find_one({"_import.run_id": run_id})
        if record is None:
            raise DemoError(f"no record of run {run_id} in {self._stack.target_database}.{resource}")
        self._console.print(f"A record in {self._stack.target_database}.{resource}:")
        self._show(json.loads(json_util.dumps(record, json_options=json_util.RELAXED_JSON_OPTIONS)))

    def _show(self, document: Document) -> None:
        self._console.print_json(data=document)


def count_rows(file: Path) -> int:
    """Data rows of a CSV file with a header, by the standard library; blank lines are none."""
    with file.open(newline="", encoding="utf-8") as text:
        return sum(1 for row in csv.reader(text) if row) - 1


def _checked(file: Path, run: RunView) -> Counts:
    counts = Counts.of(run)
    if counts.rows != counts.written + counts.rejected + counts.skipped:
        raise DemoError(f"{file.name}: the rows do not add up: {counts}")
    if counts.rows != count_rows(file):
        raise DemoError(f"{file.name} has {count_rows(file)} rows, but the run counted {counts.rows}")
    return counts


def _progress_line(progress: RunProgress) -> str:
    total = "?" if progress.total_rows is None else progress.total_rows
    return f"{progress.status}: {progress.rows_done} of {total} rows"


def main() -> int:
    """Play the demo; the exit code is 0 if everything happened as it has to."""
    started = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the stack is stopped then, too
    progress = Progress(Console(highlight=False, soft_wrap=not sys.stdout.isatty()))
    directory = local_directory() / "demo"
    try:
        down(directory)
        shutil.rmtree(directory, ignore_errors=True)
        broker = os.environ.get("BROKER") or None
        with (
            Receiver().listening() as receiver,
            running(directory, broker=broker, progress=progress) as stack,
            # A transport of its own keeps to this machine, whatever proxy the environment names.
            Rowdock(stack.gateway, stack.api_key, transport=httpx.HTTPTransport()) as gateway,
        ):
            total = Demo(stack, gateway, receiver, progress).play()
    except (LocalStackError, DemoError, RowdockError, PyMongoError, KeyError) as error:
        if isinstance(error, LocalStackError) and error.log:
            progress.console.print(escape(error.log), style="dim")
        progress.console.print(f"[red]The demo failed: {escape(f'{type(error).__name__}: {error}')}[/]")
        progress.console.print(f"Logs: {directory / 'logs'}")
        return 1
    except KeyboardInterrupt:
        return 130
    print(
        f"DEMO OK rows={total.rows} written={total.written} rejected={total.rejected} skipped={total.skipped} "
        f"seconds={time.monotonic() - started:.1f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
