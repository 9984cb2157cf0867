"""What a hostile client does: each a few kilobytes, none of it of any use, all of it to be borne.

Whatever the gateway answers is right, as long as others do not notice.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, cycle
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from deploy.local.gateway_client import GatewayClient, GatewayError

HOLD_SECONDS = 20.0
BETWEEN_SECONDS = 10.0
HANG_SECONDS = 17.0
_numbers = count(1)


class _Receiver(BaseHTTPRequestHandler):
    """``/good`` answers 204, ``/failing`` 500, ``/hanging`` nothing for long, ``/flooding`` one informational answer
    after another."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/flooding":
            with suppress(OSError):
                for _ in range(60):
                    self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000)
            return
        if self.path == "/hanging":
            time.sleep(HANG_SECONDS)
        with suppress(OSError):
            self.send_response(204 if self.path == "/good" else 500)
            self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class
        """Quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


@contextmanager
def receivers() -> Iterator[str]:
    """Receivers of webhooks, most of which do everything wrong; the URL that their paths are added to."""
    with _Server(("127.0.0.1", 0), _Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


class Hostile:
    """One hostile deed after the other in the background, from the start of the block to its end.

    Attributes:
        answers: how often each deed ended in which way: a status, or the name of an error.
    """

    def __init__(self, url: str, api_key: str, receiver: str) -> None:
        self._url = url
        self._api_key = api_key
        self._receiver = receiver
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.answers: dict[str, dict[str, int]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Not waited for: what a hostile client waits for may take as long as it likes."""
        self._over.set()

    def _work(self) -> None:
        deeds: dict[str, Callable[[GatewayClient], object]] = {
            "slow uploads": self._slow_uploads,
            "a template of many problems": _many_problems,
            "headers without end": self._headers_without_end,
            "hanging receivers": lambda gateway: self._told(gateway, "/hanging", 10),
            "a template of many patterns": _many_patterns,
            "a flooding receiver": lambda gateway: self._told(gateway, "/flooding", 1),
        }
        for name, deed in cycle(deeds.items()):
            with GatewayClient(self._url, self._api_key, timeout_seconds=60) as gateway:
                try:
                    answer = str(deed(gateway))
                except (httpx.HTTPError, OSError, GatewayError) as error:
                    answer = type(error).__name__
            outcomes = self.answers.setdefault(name, {})
            outcomes[answer] = outcomes.get(answer, 0) + 1
            if self._over.wait(BETWEEN_SECONDS):
                return

    def _slow_uploads(self, _: GatewayClient) -> str:
        head = (
            f"POST /imports/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._api_key}\r\n"
            "Content-Type: multipart/form-data; boundary=xx\r\nContent-Length: 50000000\r\n\r\n"
            '--xx\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nsku\r\n'
        )
        return self._hold(head, 8)

    def _headers_without_end(self, _: GatewayClient) -> str:
        return self._hold("GET /imports/runs HTTP/1.1\r\nHost: x\r\nX-A: ", 20)

    def _hold(self, head: str, connections: int) -> str:
        """Send ``head`` by so many connections, then a byte now and then; how many are still open."""
        address = urlsplit(self._url)
        with ExitStack() as stack:
            opened = [
                stack.enter_context(socket.create_connection((address.hostname, address.port), timeout=10))
                for _ in range(connections)
            ]
            for one in opened:
                one.sendall(head.encode())
            until = time.monotonic() + HOLD_SECONDS
            while time.monotonic() < until and not self._over.wait(5):
                opened = [one for one in opened if _sent(one)]
            return f"{len(opened)} of {connections} still open"

    def _told(self, gateway: GatewayClient, path: str, receivers: int) -> str:
        templates = [
            gateway.create_template(_template(webhook_url=self._receiver + path))["id"] for _ in range(receivers)
        ]
        runs = [gateway.upload(template, b"sku,name\n1,a\n")["id"] for template in templates]
        self._over.wait(HANG_SECONDS)
        _cancel(gateway, runs)
        return _deleted(gateway, templates)


def _many_problems(gateway: GatewayClient) -> int:
    body = _template(file_type="fixed_width", column_widths=[0] * 4_000)
    return gateway.http.post("/imports/templates", json=body).status_code


def _many_patterns(gateway: GatewayClient) -> int:
    number = next(_numbers)
    fields = [
        {
            "target": f"a{at}",
            "validators": [{"type": "regex", "pattern": rf"\w{{200}}{number}_{at}_{each}"} for each in range(20)],
        }
        for at in range(2)
    ]
    answer = gateway.http.post("/imports/templates", json=_template(field_mapping=fields))
    if answer.is_success:
        template = answer.json()["id"]
        _cancel(gateway, [gateway.upload(template, b"a0,a1\nx,y\n")["id"]])
        _deleted(gateway, [template])
    return answer.status_code


def _cancel(gateway: GatewayClient, runs: Sequence[str]) -> None:
    """What waits for somebody to execute it has open batches for as long as it waits, which is no growth."""
    for run in runs:
        gateway.http.post(f"/imports/runs/{run}/cancel")


def _deleted(gateway: GatewayClient, templates: Sequence[str]) -> str:
    codes = {gateway.http.delete(f"/imports/templates/{template}").status_code for template in templates}
    return ", ".join(map(str, sorted(codes)))


def _template(**members: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a template may have
    fields = [{"target": "sku"}, {"target": "name"}]
    return {"name": "hostile", "target_resource": "hostile", "field_mapping": fields, **members}


def _sent(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"1")
    except OSError:
        return False
    return True
