"""What takes several requests, played by hand: what is asked next, after which answer."""

from collections.abc import Generator
from typing import Any

import pytest
from httpx_sse import ServerSentEvent

from rowdock_client import NotReachableError, RunFailedError, TimeIsUpError, UnexpectedAnswerError, flows
from rowdock_client.calls import Call
from rowdock_client.errors import NotFoundError
from rowdock_client.events import MOST_SILENT, Following, RunEvent
from rowdock_client.flows import Follow, Pause
from rowdock_client.models import ErrorView, ProgressView, RunView
from rowdock_client.progress import Progress


def run(status: str, **members: Any) -> RunView:  # noqa: ANN401
    """A run of which only this is known."""
    known = {"id": "R", "auto_execute": False, "error": None, "progress": None, "total_rows": 10, "valid_rows": 9}
    counts = {"written_count": 9, "rejected_count": 1, "skipped_count": 0}
    return RunView.model_construct(status=status, **{**known, **counts, **members})


def paths(flow: Generator[Any, Any, Any], *answers: object) -> tuple[list[str], Any]:
    """What a flow asks, one answer after another, and its result."""
    asked: list[str] = []
    waiting = list(answers)
    step = next(flow)
    while True:
        match step:
            case Call(method=method, path=path):
                asked.append(f"{method} {path}")
                answer: object = waiting.pop(0)
            case Follow():
                asked.append("follow")
                answer = waiting.pop(0)
            case Pause():
                asked.append("pause")
                answer = None
            case _:
                raise AssertionError(step)
        try:
            step = flow.send(answer)
        except StopIteration as end:
            return asked, end.value


def test_an_import_is_checked_then_written() -> None:
    asked, ended = paths(
        flows.import_file(b"", "T"), run("pending"), True, run("validated"), run("executing"), True, run("completed")
    )
    assert asked == [
        "POST /imports/upload", "follow", "GET /imports/runs/R", "POST /imports/runs/R/execute", "follow",
        "GET /imports/runs/R",
    ]  # fmt: skip
    assert ended.status == "completed"


def test_what_goes_on_by_itself_is_not_executed() -> None:
    asked, ended = paths(
        flows.import_file(b"", "T"), run("validated", auto_execute=True), True, run("completed", auto_execute=True)
    )
    assert asked == ["POST /imports/upload", "follow", "GET /imports/runs/R"]
    assert ended.status == "completed"


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_an_import_that_fails_raises(status: str) -> None:
    with pytest.raises(RunFailedError) as raised:
        paths(flows.import_file(b"", "T"), run(status))
    assert raised.value.run.status == status


def test_where_nothing_can_be_heard_it_is_looked_again_and_again() -> None:
    asked, _ = paths(flows.wait_for_run("R"), run("executing"), False, run("executing"), run("completed"))
    look = ["pause", "GET /imports/runs/R"]
    assert asked == ["GET /imports/runs/R", "follow", *look, *look]


def test_who_waits_for_a_time_only_looks_until_it_is_over() -> None:
    flow = flows.wait_for_run("R", seconds=0)
    next(flow)
    with pytest.raises(TimeIsUpError, match="0 seconds"):
        flow.send(run("executing"))


def test_pauses_become_longer_up_to_a_bound() -> None:
    flow = flows.wait_for_run("R", seconds=1_000)
    next(flow)
    pauses: list[float] = []
    for _ in range(20):
        step = flow.send(run("executing"))
        assert isinstance(step, Pause)
        pauses.append(step.seconds)
        next(flow)
    assert pauses == sorted(pauses)
    assert pauses[-1] == flows.LONGEST_PAUSE


def test_whoever_watches_hears_of_every_state() -> None:
    seen: list[tuple[str, int]] = []
    flow = flows.wait_for_run("R", watch=lambda progress: seen.append((progress.stage, progress.rows_done)))
    next(flow)
    moving = ProgressView(batches=1, parsing_finished=True, rows_parsed=10, rows_validated=10, rows_written=4)
    step = flow.send(run("executing", progress=moving))
    assert isinstance(step, Follow)
    told = Progress.of(run("executing", progress=moving.model_copy(update={"rows_written": 7})))
    assert not step.hear(RunEvent("progress", {"status": "executing"}, told))
    assert step.hear(RunEvent("status", {"status": "completed"}))
    assert seen == [("writing", 4), ("writing", 7)]


def told(event: str, data: str = '{"status": "executing"}', **more: Any) -> ServerSentEvent:  # noqa: ANN401
    return ServerSentEvent(event=event, data=data, **more)


def test_one_comes_again_from_what_was_heard_last() -> None:
    following = Following("R")
    assert "Last-Event-ID" not in following.call().headers
    assert following.heard(told("message", "", retry=1500)) is None
    following.heard(told("status", id="7"))
    assert following.pause(None) == 0
    assert following.call().headers["Last-Event-ID"] == "7"
    assert following.pause(NotReachableError("http://gateway", "gone", sent=True)) == 1.5


def test_one_does_not_come_for_ever_where_nothing_is_told() -> None:
    following = Following("R")
    for _ in range(MOST_SILENT - 1):
        following.call()
        following.pause(None)
    following.call()
    with pytest.raises(UnexpectedAnswerError):
        following.pause(None)


def test_a_refusal_ends_it() -> None:
    refused = NotFoundError(404, ErrorView(code="NO", detail="no", errors=[], request_id="r", status_code=404))
    following = Following("R")
    following.call()
    with pytest.raises(NotFoundError):
        following.pause(refused)


@pytest.mark.parametrize("data", ["{", "[]", "{}"])
def test_events_that_cannot_be_read_are_told_of(data: str) -> None:
    with pytest.raises(UnexpectedAnswerError, match="snapshot"):
        Following("R").heard(told("snapshot", data))


def test_events_of_later_releases_are_passed_on() -> None:
    assert Following("R").heard(told("weather", '{"sun": true}')) == RunEvent("weather", {"sun": True})
