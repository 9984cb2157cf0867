"""Answers what every service answers, and shows its environment at any other path."""

import json
import os
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
    address = (os.environ["ROWDOCK_HOST"], int(os.environ["ROWDOCK_PORT"]))
    ThreadingHTTPServer(address, Handler).serve_forever()
