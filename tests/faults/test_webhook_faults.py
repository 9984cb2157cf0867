"""Webhooks die at their worst moments: every receiver hears of every event, and what comes twice has the same id.

Receivers are endpoints of an organization beside that of a template, and one that wants no more.
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import Stack, make_organization
from tests.client import GatewayClient, eventually, planted_file, planted_template
from tests.faults.test_faults import armed, drive, pick  # noqa: F401 - fixtures
from tests.oracle import Oracle
from tests.receiver import Receiver

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.timeout(600)]

IMPORTS = 3
KINDS = {"import.started", "import.validated", "import.completed"}
POINTS = (
    "webhooks.delivery_stored_before_commit",
    "webhooks.effect_before_commit",
    pytest.param("webhooks.sent_before_recorded", marks=pick),
    "webhooks.switched_off_before_commit",
)


@pytest.fixture
def own(stack: Stack, resource: str) -> Iterator[GatewayClient]:
    """A client of an organization of the test's own, whose endpoints nobody else's imports tell anything."""
    with GatewayClient(stack.gateway, make_organization(stack, resource)) as client:
        yield client


def registered(client: GatewayClient, url: str, **wanted: Any) -> dict[str, Any]:  # noqa: ANN401
    answer = client.http.post("/api/v1/webhook-endpoints", json={"url": url, **wanted})
    assert answer.status_code == 201, answer.text
    return answer.json()


def heard(receiver: Receiver, secret: str) -> set[tuple[str, str | None, str]]:
    """What arrived, each with its id; whatever came again under another one is there twice."""
    return {(body["type"], body.get("import_id"), identifier) for identifier, body in receiver.verified(secret)}


@pytest.mark.parametrize("point", POINTS)
def test_every_endpoint_hears_of_every_event_under_one_id(
    point: str,
    armed: Callable[[str, str], Path],  # noqa: F811
    own: GatewayClient,
    oracle: Oracle,
    resource: str,
) -> None:
    with Receiver() as of_all, Receiver() as of_ends, Receiver() as of_template, Receiver(status=410) as gone:
        everything = registered(own, of_all.url)
        ends = registered(own, of_ends.url, event_types=["import.completed"])
        unwilling = registered(own, gone.url, event_types=sorted(KINDS))
        template = own.create_template(planted_template(resource, webhook_url=of_template.url))
        hits = armed("webhooks", point)
        runs = {drive(own, template["id"], planted_file(500 + number)) for number in range(IMPORTS)}

        [first] = [each for each in own.http.get("/api/v1/webhook-endpoints").json()["data"] if each["template_id"]]
        expected = {
            everything["id"]: ["delivered"] * (IMPORTS * len(KINDS) + 1),  # and that one was switched off
            ends["id"]: ["delivered"] * IMPORTS,
            first["id"]: ["delivered"] * IMPORTS * len(KINDS),
            unwilling["id"]: ["disabled"] * IMPORTS * len(KINDS),
        }

        def states() -> dict[str, list[str]]:
            stored = oracle.state["webhook_deliveries"]
            return {name: [each["state"] for each in stored.find({"endpoint_id": name})] for name in expected}

        eventually(lambda: states() == expected, "everything delivered, or settled for the one that is gone", 180)
        of_every_run = {(kind, run) for kind in KINDS for run in runs}
        for receiver, secret, wanted in (
            (of_all, everything["secret"], {*of_every_run, ("webhook.endpoint_disabled", None)}),
            (of_ends, ends["secret"], {("import.completed", run) for run in runs}),
            (of_template, template["webhook_secret"], of_every_run),
        ):
            arrived = heard(receiver, secret)
            assert {(kind, run) for kind, run, _ in arrived} == wanted
            assert len(arrived) == len(wanted), "an event came under two ids"
    assert list(hits.iterdir()), "the failpoint was never passed"


@pick
def test_two_processes_share_the_deliveries_of_one_endpoint(own: GatewayClient, resource: str) -> None:
    """A receiver that has not answered quickly gets one thing at a time from a process, so two at once are of two."""
    two, lock, at_once = threading.Event(), threading.Lock(), 0

    def wait_for_another() -> None:
        nonlocal at_once
        with lock:
            at_once += 1
            if at_once == 2:
                two.set()
        two.wait(10)
        with lock:
            at_once -= 1

    with Receiver(meanwhile=wait_for_another) as slow:
        made = registered(own, slow.url)
        run = drive(own, own.create_template(planted_template(resource))["id"], planted_file(500))
        assert two.wait(120), "no two attempts were ever under way at once"
        expected = {(kind, run) for kind in KINDS}
        eventually(lambda: {each[:2] for each in heard(slow, made["secret"])} == expected, "all of them", 120)
        assert len(heard(slow, made["secret"])) == len(KINDS)
