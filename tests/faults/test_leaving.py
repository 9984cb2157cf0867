"""Services that are told to leave, one after another, while imports come in at two gateways."""

import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from deploy.local.stack import Stack, running
from tests.client import TERMINAL, PlantedFile, eventually, planted_file, planted_template
from tests.leaving import LEFT_IN_ORDER, exits, told_to_leave
from tests.oracle import Oracle
from tests.receiver import Receiver

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(900)]

TWICE = {"gateway": 2, "parser": 2, "validator": 2, "writer": 2, "webhooks": 2}
ROWS = 20_000
BUSY = {httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.CONFLICT}
"""Of a gateway that leaves; and while the key of a request is kept for a gateway that left, for some seconds."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two of every service; the gateways tell that they leave a while before they do."""
    environment = {"gateway": {"ROWDOCK_DRAIN_SECONDS": "1"}}
    with running(tmp_path_factory.mktemp("twice"), scale=TWICE, environment=environment) as started:
        yield started


@dataclass
class Balanced:
    """A client behind whose address are several gateways: it goes on to the next where one is not there.

    Attributes:
        repeated: why requests were made again.
        refused: answers that no client repeats.
    """

    urls: list[str]
    api_key: str
    repeated: Counter[str] = field(default_factory=Counter[str])
    refused: list[str] = field(default_factory=list[str])

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401
        """Ask until one answers."""
        headers = {"Authorization": f"Bearer {self.api_key}", "Idempotency-Key": uuid.uuid4().hex}

        def attempt() -> httpx.Response | None:
            for url in self.urls:
                try:
                    answer = httpx.request(
                        method, f"{url}{path}", headers=headers, timeout=60, trust_env=False, **options
                    )
                except httpx.TransportError as error:
                    self.repeated[type(error).__name__] += 1
                    continue
                if answer.status_code not in BUSY:
                    return answer
                self.repeated[str(answer.status_code)] += 1
            return None

        answer: httpx.Response = eventually(attempt, f"{method} {path} is answered", 120)
        if not answer.is_success:
            self.refused.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    def imported(self, template_id: str, planted: PlantedFile) -> str:
        """Id of a run that has ended."""
        run = self.request(
            "POST", "/imports/upload", data={"template_id": template_id}, files={"file": ("rows.csv", planted.content)}
        ).json()

        def ended() -> bool:
            return self.request("GET", f"/imports/runs/{run['id']}").json()["status"] in TERMINAL

        eventually(ended, f"run {run['id']} ends", 300)
        return run["id"]


def test_a_rolling_restart_during_ten_imports_loses_nothing(
    stack: Stack, oracle: Oracle, receiver: Receiver, resource: str
) -> None:
    ports: dict[str, int] = json.loads((stack.directory / "ports.json").read_text())
    urls = [f"http://127.0.0.1:{ports[one.name]}" for one in stack.services["gateway"]]
    client = Balanced(urls, stack.api_key)
    runs: list[tuple[str, PlantedFile, str]] = []
    imports: list[threading.Thread] = []
    left = exits(stack)
    for number, name in enumerate(each.name for some in stack.services.values() for each in some):
        of_this = f"{resource[:40]}_{number}"
        body = planted_template(of_this, auto_execute=True, webhook_url=receiver.url)
        template = client.request("POST", "/imports/templates", json=body).json()
        planted = planted_file(ROWS, seed=number)

        def one(template_id: str = template["id"], planted: PlantedFile = planted, of_this: str = of_this) -> None:
            runs.append((client.imported(template_id, planted), planted, of_this))

        imports.append(threading.Thread(target=one))
        imports[-1].start()
        told_to_leave(stack, name)
    for thread in imports:
        thread.join()
    assert len(runs) == len(imports) >= 10
    assert client.refused == []
    # What a client repeats: nobody listens, or whoever did leaves before it has answered.
    assert set(client.repeated) <= {"ConnectError", "RemoteProtocolError", "ReadError", "503", "409"}, client.repeated
    for run_id, planted, of_this in runs:
        oracle.assert_exactly_once(run_id, planted, of_this)
        assert len(oracle.terminal_events(run_id)) == 1
    ids = {run_id for run_id, _, _ in runs}
    eventually(
        lambda: ids <= {body["import_id"] for body in receiver.bodies() if body["type"] == "import.completed"},
        "the webhook of every run",
        120,
    )
    ended = exits(stack)[len(left) :]
    assert sorted(ended) == sorted((each.name, LEFT_IN_ORDER) for some in stack.services.values() for each in some)
