"""Eight files of a gigabyte that arrive at once, each of another organization: what the gateway takes of the memory."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from pymongo import MongoClient
from rich.console import Console

from bench.imports import RowsLostError
from bench.measurement import Bench
from bench.processes import peak_mb, reset_peaks
from bench.report import show_verdict
from deploy.local.gateway_client import GatewayClient
from deploy.local.stack import make_organization
from deploy.local.waiting import wait_until

UPLOADS: Final = 8
MEMORY_WANTED_MB: Final = 400
BLOCK: Final = b"x" * 1024**2
BOUNDARY: Final = "rowdock"
TEMPLATE: Final = {
    "name": "large",
    "target_resource": "large",
    "field_mapping": [{"source": "name", "target": "name"}],
}


def measure_large_uploads(bench: Bench, megabytes: int) -> dict[str, Any]:
    """Peak memory of the gateway while files of so many MiB are uploaded, and how fast that is.

    The files have one line, which the parser refuses as soon as it is longer than a line may be: nothing but the
    gateway and the database are at work.

    Raises:
        RowsLostError: a file was not stored whole.
    """
    with bench.progress.step(f"Making {UPLOADS} organizations"):
        keys = [make_organization(bench.stack, f"large {number}") for number in range(UPLOADS)]
    templates: list[str] = []
    for key in keys:
        with GatewayClient(bench.stack.gateway, key) as client:
            templates.append(client.create_template(TEMPLATE)["id"])
    reset_peaks(bench.stack)
    with bench.progress.step(f"{UPLOADS} uploads of {megabytes:,} MiB at once") as step:
        clock, ready = time.monotonic(), threading.Barrier(UPLOADS)
        with ThreadPoolExecutor(UPLOADS) as threads:
            runs = list(
                threads.map(lambda each: _upload(bench, ready, *each, megabytes), zip(keys, templates, strict=True))
            )
        seconds = time.monotonic() - clock
        peaks = peak_mb(bench.stack)
        step.result = f"gateway {peaks['gateway']:.0f} MiB, {UPLOADS * megabytes / seconds:,.0f} MiB/s"
    size = len(b"name\n") + megabytes * len(BLOCK)
    for run in runs:
        if run["file_size"] != size:
            raise RowsLostError(f"a file of {size:,} bytes is stored as {run['file_size']:,}")
    _wait_for_the_end(bench, [run["id"] for run in runs])
    return {"uploads": UPLOADS, "megabytes": megabytes, "seconds": round(seconds, 1), "rss_mb": peaks}


def show_large_uploads(console: Console, result: dict[str, Any]) -> None:
    """Print what ``measure_large_uploads`` found."""
    total = result["uploads"] * result["megabytes"]
    used = result["rss_mb"]["gateway"]
    show_verdict(
        console,
        f"the gateway takes {used:.0f} MiB while {result['uploads']} files of {result['megabytes']:,} MiB arrive, "
        f"{total / result['seconds']:,.0f} MiB a second in all: at most {MEMORY_WANTED_MB}",
        holds=used <= MEMORY_WANTED_MB,
    )


def _upload(bench: Bench, ready: threading.Barrier, key: str, template_id: str, megabytes: int) -> dict[str, Any]:
    """Upload by a socket, which takes less of the processors than a client would; the run."""
    start = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="template_id"\r\n\r\n{template_id}\r\n'
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="large.csv"\r\n\r\nname\n'
    ).encode()
    end = f"\r\n--{BOUNDARY}--\r\n".encode()
    length = len(start) + megabytes * len(BLOCK) + len(end)
    head = (
        f"POST /imports/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()
    port = int(bench.stack.gateway.rpartition(":")[2])
    ready.wait()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head + start)
        for _ in range(megabytes):
            connection.sendall(BLOCK)
        connection.sendall(end)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith((b"HTTP/1.1 201", b"HTTP/1.1 202")):
        raise RowsLostError(f"an upload was refused: {answer[:500].decode(errors='replace')}")
    return json.loads(body)


def _wait_for_the_end(bench: Bench, runs: list[str]) -> None:
    """Until no run is at work any more, so that nothing of it is in the way of what is measured next."""
    with MongoClient[dict[str, Any]](bench.stack.mongodb) as client:
        found = client[bench.stack.database]["runs"]
        ended = {"_id": {"$in": runs}, "finished_at": {"$ne": None}}
        wait_until(lambda: found.count_documents(ended) == len(runs), "the runs end", seconds=600)
