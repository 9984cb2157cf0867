"""A plain client of the gateway, which asks once and shows answers as they are: for the benches and the tests."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import IO, Any, Self

import httpx
from httpx_sse import connect_sse

Document = dict[str, Any]


class GatewayError(Exception):
    """The gateway did not do what was asked; the message holds what it answered.

    Attributes:
        status: of the answer.
    """

    def __init__(self, answer: httpx.Response) -> None:
        request = answer.request
        super().__init__(f"{request.method} {request.url.path} answered {answer.status_code}: {answer.text}")
        self.status = answer.status_code


class GatewayClient:
    """The import engine's interface, with the API key of one organization; as a context manager it closes itself.

    Every method raises ``GatewayError`` where the gateway refuses and ``httpx.TransportError`` where it is not there.

    Attributes:
        http: for whatever has no method here, and to look at an answer as it came.
    """

    def __init__(self, url: str, api_key: str, timeout_seconds: float = 600) -> None:
        headers = {"Authorization": f"Bearer {api_key}"}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=timeout_seconds, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def create_template(self, template: Mapping[str, Any]) -> Document:
        """Create a template; the answer has its ``id``, and once its ``webhook_secret``."""
        return _accepted(self.http.post("/imports/templates", json=template))

    def upload(self, template_id: str, content: bytes | IO[bytes], name: str = "rows.csv", **headers: str) -> Document:
        """Upload a file, an open one streaming; the run."""
        form, file = {"template_id": template_id}, {"file": (name, content)}
        return _accepted(self.http.post("/imports/upload", data=form, files=file, headers=headers))

    def run(self, run_id: str) -> Document:
        """The run as it is now."""
        return _accepted(self.http.get(f"/imports/runs/{run_id}"))

    def ended(self, run_id: str) -> Document:
        """The run once it has ended, which its events tell."""
        while True:
            with connect_sse(self.http, "GET", f"/imports/runs/{run_id}/events") as events:
                if not events.response.is_success:
                    events.response.read()
                    raise GatewayError(events.response)
                # A stream that closes before the end is opened again; of a run that has ended there is none.
                heard = events.response.status_code == HTTPStatus.NO_CONTENT
                heard = heard or any(event.event == "end" for event in events.iter_sse())
            if heard:
                return self.run(run_id)

    def execute(self, run_id: str, **query: str) -> Document:
        """Have a validated run written; the run."""
        return _accepted(self.http.post(f"/imports/runs/{run_id}/execute", params=query))

    def revert(self, run_id: str) -> Document:
        """Have a completed run taken back; the run."""
        return _accepted(self.http.post(f"/imports/runs/{run_id}/revert"))

    def cancel(self, run_id: str) -> Document:
        """Cancel an active run; the run."""
        return _accepted(self.http.post(f"/imports/runs/{run_id}/cancel"))

    def rejected(self, run_id: str, limit: int = 100) -> list[Document]:
        """The first rejected rows of a run."""
        answer = self.http.get("/imports/rejected", params={"run_id": run_id, "limit": limit})
        return _accepted(answer)["data"]


def _accepted(answer: httpx.Response) -> Document:
    if not answer.is_success:
        raise GatewayError(answer)
    return answer.json()
