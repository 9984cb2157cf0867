"""A small mixed load: several organizations, good and bad files, small and large ones, files that come by themselves,
dry runs, imports that are taken back, receivers that fail.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, cycle
from pathlib import Path

from deploy.local.gateway_client import GatewayClient
from deploy.local.stack import Stack, make_organization

SMALL_ROWS = 300
LARGE_ROWS = 60_000
PAUSE_SECONDS = 1.0
ARRIVAL_SECONDS = 5.0
DRY_RUNS_EVERY = 4
REVERTS_EVERY = 6
ENDED = frozenset({"completed", "failed", "cancelled"})


def gateways(stack: Stack) -> list[str]:
    """Where clients are served, at every gateway of a stack."""
    names = [one.name for one in stack.services["gateway"]]
    return [f"http://127.0.0.1:{stack.supervisor.program(name).environment['ROWDOCK_PORT']}" for name in names]


def csv_file(rows: int, bad_every: int = 0) -> bytes:
    """Rows of ``sku,name,email``; every so many of them have no address."""
    lines = ["sku,name,email"]
    for row in range(1, rows + 1):
        address = "nobody" if bad_every and row % bad_every == 0 else f"user{row}@example.com"
        lines.append(f"S{row:07d},Name {row},{address}")
    return "\n".join([*lines, ""]).encode()


@contextmanager
def receiver(status: int) -> Iterator[str]:
    """Answers every webhook with ``status``; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


TEMPLATE = {
    "auto_execute": True,
    "field_mapping": [
        {"source": "sku", "target": "sku", "required": True},
        {"source": "name", "target": "name"},
        {"source": "email", "target": "email", "type": "email", "required": True},
    ],
}
"""Of ``csv_file``; what is valid is written without anybody asking for it."""


def template(client: GatewayClient, name: str, receiver_url: str) -> str:
    """A template that goes on by itself and tells ``receiver_url``; its id."""
    told = {"webhook_enabled": True, "webhook_url": receiver_url}
    return client.create_template({**TEMPLATE, **told, "name": name, "target_resource": name})["id"]


def mixed_load(stack: Stack, seconds: float) -> int:
    """Import for so many seconds, as three organizations side by side; how many imports have ended.

    Where the stack has pollers of sources, files arrive in a watched directory besides.

    Raises:
        GatewayError: a gateway refuses.
    """
    until = time.monotonic() + seconds
    keys = [stack.api_key, *(make_organization(stack, name) for name in ("Harbour", "Orchard"))]
    files = [csv_file(SMALL_ROWS), csv_file(SMALL_ROWS, bad_every=10), b"nothing,that\nfits,here\n"]
    urls = gateways(stack)
    with receiver(204) as answering, receiver(500) as failing, ThreadPoolExecutor(len(keys) + 1) as pool:
        imports = [
            pool.submit(_import, urls[number % len(urls)], key, files, until, answering if number else failing, number)
            for number, key in enumerate(keys)
        ]
        if "sources" in stack.services:
            pool.submit(_files_arrive, stack, files[0], until).result()
        return sum(each.result() for each in imports)


def _import(url: str, key: str, files: Sequence[bytes], until: float, told: str, number: int) -> int:
    ended = 0
    with GatewayClient(url, key) as client:
        of_template = template(client, f"load_{number}", told)
        if number == 0:
            client.upload(of_template, csv_file(LARGE_ROWS, bad_every=50))
        for content in cycle(files):
            if time.monotonic() > until:
                return ended
            run = client.upload(of_template, content)
            while run["status"] not in ENDED and time.monotonic() < until:
                time.sleep(0.2)
                run = client.run(run["id"])
            ended += run["status"] in ENDED
            if run["status"] == "completed" and ended % REVERTS_EVERY == 0:
                client.revert(run["id"])
            if ended % DRY_RUNS_EVERY == 0:
                form, file = {"template_id": of_template}, {"file": ("rows.csv", content)}
                client.http.post("/imports/dry-run", data=form, files=file)
            time.sleep(PAUSE_SECONDS)
    return ended


def _files_arrive(stack: Stack, content: bytes, until: float) -> None:
    """Put a file into the directory of a source now and then."""
    root = Path(stack.supervisor.program("sources-1").environment["ROWDOCK_SOURCES_DIRECTORY"])
    with GatewayClient(stack.gateway, stack.api_key) as client:
        [organization] = [each["id"] for each in client.http.get("/imports/tenants").json()["data"]]
        folder = root / organization / "arriving"
        folder.mkdir(parents=True)
        source = {"name": "arriving", "type": "directory", "directory": folder.name, "stable_seconds": 0}
        template_id = client.create_template({**TEMPLATE, "name": "arriving", "target_resource": "arriving"})["id"]
        client.http.post(
            "/api/v1/sources", json={**source, "template_id": template_id, "every_seconds": 10}
        ).raise_for_status()
        for number in count():
            if time.monotonic() > until:
                return
            (folder / f"{number}.csv").write_bytes(content)
            time.sleep(ARRIVAL_SECONDS)
