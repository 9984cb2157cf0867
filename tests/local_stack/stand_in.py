"""Answers at both ports what every service answers, and shows its environment at any other path."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path in {"/health/live", "/health/ready", "/metrics"}
        wrong_key = self.path == "/imports/runs" and self.headers["Authorization"] != "Bearer sk_live_stand_in"
        body = b"" if known else json.dumps(dict(os.environ)).encode()
        self.send_response(401 if wrong_key else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ports = [os.environ[name] for name in ("ROWDOCK_OPS_PORT", "ROWDOCK_PORT") if name in os.environ]
    servers = [ThreadingHTTPServer((os.environ["ROWDOCK_HOST"], int(port)), Handler) for port in ports]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    servers[0].serve_forever()
