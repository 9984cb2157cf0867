"""A receiver of webhooks, as a customer would run one."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from standardwebhooks import Webhook


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for what is being answered


class Receiver:
    """Listens on a free port of this machine, keeps what arrives and answers it with ``status``, which may be changed.

    ``meanwhile`` is called before each answer, in a thread of the request's own.
    """

    def __init__(self, status: int = 204, meanwhile: Callable[[], object] | None = None) -> None:
        self._deliveries: list[tuple[dict[str, str], bytes]] = []
        self.status = status
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver._deliveries.append(({name.lower(): value for name, value in self.headers.items()}, body))
                if meanwhile is not None:
                    meanwhile()
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def bodies(self) -> list[dict[str, Any]]:
        """Everything that arrived, in order, whoever signed it."""
        return [json.loads(body) for _, body in list(self._deliveries)]

    @property
    def count(self) -> int:
        """How many have arrived, whatever was answered."""
        return len(self._deliveries)

    def verified(self, secret: str) -> list[tuple[str, dict[str, Any]]]:
        """``(webhook-id, body)`` of everything that arrived, in order; each signature is checked."""
        webhook = Webhook(secret)
        return [(headers["webhook-id"], webhook.verify(body, headers)) for headers, body in list(self._deliveries)]
