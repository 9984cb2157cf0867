"""Why a run stands still, told from its document and its batches."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.contracts.states import BatchState
from services.gateway.status.standing import holder_of, why
from services.gateway.stores.installation import BatchesLook, RunLook

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
EARLIER, LATER = NOW - timedelta(minutes=5), NOW + timedelta(minutes=5)
EVERYBODY = {"gateway", "parser", "validator", "writer"}
READ = {"closed": True, "batches": 3, "rows": 9}
NO_BATCHES = BatchesLook({}, 0, 0, None)


def run(status: str, **changes: Any) -> RunLook:  # noqa: ANN401
    stored = {"_id": "r", "tenant_id": "t", "status": status, "created_at": EARLIER, "updated_at": EARLIER, **changes}
    return RunLook.model_validate(stored)


def batches(announced: int = 0, attempts: int = 0, **by_state: int) -> BatchesLook:
    return BatchesLook({BatchState(name): count for name, count in by_state.items()}, announced, attempts, EARLIER)


@pytest.mark.parametrize(
    ("standing", "of_batches", "told"),
    [
        (run("pending"), NO_BATCHES, "its file waits to be read"),
        (run("pending", parse={"attempts": 3}), NO_BATCHES, "its file waits to be read, after 3 attempts"),
        (
            run("pending", parse={"owner": "parser-1#ab", "lease_until": LATER, "attempts": 1}),
            NO_BATCHES,
            "parser-1 has taken its file and is at it",
        ),
        (
            run("pending", parse={"owner": "parser-1#ab", "lease_until": EARLIER, "attempts": 1}),
            NO_BATCHES,
            "parser-1 has taken its file and has been silent since its lease ended, the next one takes over",
        ),
        (
            run("validating", parse=READ),
            batches(parsed=3, announced=2),
            "2 of 3 waiting batches are handed out to workers, the others wait for their turn",
        ),
        (
            run("executing", parse=READ),
            batches(validated=1, written=2, announced=1, attempts=4),
            "1 of 1 waiting batches are handed out to workers; one of them was tried 4 times in vain",
        ),
        (
            run("validating", parse=READ),
            batches(checked=3),
            "every batch is checked, and the check of the whole file has not been taken up",
        ),
        (
            run("validating", parse=READ, barrier={"owner": "validator-2#cd", "until": LATER}),
            batches(checked=3),
            "validator-2 has taken the check of the whole file and is at it",
        ),
        (
            run("executing", parse=READ, syncing={"stage": "requested", "waiting_for": "r0"}),
            batches(validated=3),
            "an earlier sync of the same records has to end first: run r0",
        ),
        (run("executing", parse=READ), batches(written=3), "all of its batches are done, and nobody has moved it on"),
        (
            run("executing", parse=READ, stop={"status": "cancelled", "code": "CANCELLED", "message": "", "at": NOW}),
            batches(validated=3),
            "it is to end as cancelled (CANCELLED), which a gateway has not finished yet",
        ),
    ],
)
def test_what_a_run_waits_for(standing: RunLook, of_batches: BatchesLook, told: str) -> None:
    assert why(standing, of_batches, NOW, EVERYBODY) == told


@pytest.mark.parametrize(
    ("standing", "service"),
    [
        (run("pending"), "parser"),
        (run("validating"), "parser"),
        (run("validating", parse=READ), "validator"),
        (run("executing", parse=READ), "writer"),
        (run("reverting", parse=READ), "writer"),
        (
            run("executing", parse=READ, stop={"status": "failed", "code": "C", "message": "", "at": NOW}),
            "gateway",
        ),
    ],
)
def test_a_service_that_does_not_run_is_named(standing: RunLook, service: str) -> None:
    assert f"no process of the service {service} is at work" in why(standing, NO_BATCHES, NOW, EVERYBODY - {service})


def test_who_holds_a_run_is_named_without_the_token_of_the_lease() -> None:
    holder = holder_of(run("pending", parse={"owner": "parser-1#ab", "lease_until": LATER}), NOW)
    assert holder is not None
    assert (holder.work, holder.owner, holder.alive) == ("parse", "parser-1", True)
    assert holder_of(run("executing", parse=READ), NOW) is None
