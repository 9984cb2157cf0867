"""What becomes of answers and of failures, and which calls are made again: on httpx's own stand-in for a server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from rowdock_client import (
    AsyncRowdock,
    ConflictError,
    InvalidRequestError,
    NotAllowedError,
    NotFoundError,
    NotReachableError,
    RefusedError,
    Retries,
    Rowdock,
    ServerFaultError,
    Source,
    TooManyError,
    UnexpectedAnswerError,
    calls,
)
from rowdock_client.calls import Call

Answer = Callable[[httpx.Request], httpx.Response]
PAGE: dict[str, Any] = {"data": [], "next_after": None}
SOON = {"Retry-After": "0"}


def error(status: int, code: str = "NO", headers: dict[str, str] | None = None) -> httpx.Response:
    body = {"detail": "no", "status_code": status, "code": code, "errors": [], "request_id": "r-1"}
    return httpx.Response(status, json=body, headers=headers)


class Server:
    """Answers one after another; the last one again and again."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def asking(server: Server, **retries: Any) -> Rowdock:  # noqa: ANN401
    patience = Retries(**{"attempts": 3, **retries})
    return Rowdock("http://gateway", "sk_live_x", transport=httpx.MockTransport(server), retries=patience)


def failing(server: Server, call: Call[Any], **retries: Any) -> Exception:  # noqa: ANN401
    with asking(server, **retries) as client, pytest.raises(Exception) as raised:  # noqa: PT011 - the caller looks
        client.do(call)
    return raised.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (401, NotAllowedError),
        (403, NotAllowedError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, InvalidRequestError),
        (422, InvalidRequestError),
        (429, TooManyError),
        (500, ServerFaultError),
        (503, ServerFaultError),
        (507, TooManyError),
    ],
)
def test_refusals_are_typed(status: int, kind: type[RefusedError]) -> None:
    failure = failing(Server(error(status, "WHATEVER")), calls.list_runs(), attempts=1)
    assert type(failure) is kind
    assert (failure.code, failure.message, failure.status, failure.request_id) == ("WHATEVER", "no", status, "r-1")
    assert failure.remedy


@pytest.mark.parametrize(
    ("call", "answers", "requests"),
    [
        (calls.list_runs(), [httpx.ReadError("gone"), httpx.Response(200, json=PAGE)], 2),
        (calls.list_runs(), [error(503), httpx.Response(200, json=PAGE)], 2),
        (calls.list_runs(), [error(429, headers=SOON), httpx.Response(200, json=PAGE)], 2),
        (calls.delete_template("T"), [httpx.ConnectError("nobody"), httpx.Response(204)], 2),
        (calls.delete_template("T"), [error(429, headers=SOON), httpx.Response(204)], 2),
    ],
)
def test_what_can_do_nothing_twice_is_made_again(
    call: Call[Any], answers: list[httpx.Response | Exception], requests: int
) -> None:
    server = Server(*answers)
    with asking(server) as client:
        client.do(call)
    assert len(server.requests) == requests


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (calls.execute_run("R"), httpx.ReadError("gone")),
        (calls.execute_run("R"), error(502)),
        (calls.execute_run("R"), error(503)),
        (calls.delete_template("T"), httpx.ReadTimeout("slow")),
        (calls.execute_run("R"), error(409, "WRONG_STATE")),
        (calls.list_runs(), error(500)),
        (calls.list_runs(), error(404)),
    ],
)
def test_what_might_do_something_twice_or_would_fail_again_is_not(
    call: Call[Any], answer: httpx.Response | Exception
) -> None:
    server = Server(answer)
    failing(server, call)
    assert len(server.requests) == 1


def test_the_first_of_two_with_one_key_is_waited_for() -> None:
    server = Server(error(409, "IN_FLIGHT", SOON))
    assert isinstance(failing(server, calls.upload_file(b"a", "T")), ConflictError)
    assert len(server.requests) == 3
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


@pytest.mark.parametrize(
    "call",
    [
        calls.retry_rejected("J"),
        calls.retry_all_rejected("R"),
        calls.correct_all_rejected("R", {"code": "C"}),
        calls.upload_corrections("R", b"a"),
    ],
)
def test_what_has_a_key_is_made_again_under_it(call: Call[Any]) -> None:
    server = Server(httpx.ReadError("gone"), error(502), error(404))
    assert isinstance(failing(server, call), NotFoundError)
    assert len(server.requests) == 3
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


def test_files_are_sent_whole_again(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b"sku\n1\n")
    told: list[tuple[int, int]] = []
    source = Source.of(file, told=lambda sent, size: told.append((sent, size)))
    server = Server(httpx.ReadError("gone"), error(422))
    failing(server, calls.upload_file(source, "T"))
    assert [b"sku\n1\n" in request.content for request in server.requests] == [True, True]
    assert b'filename="rows.csv"' in server.requests[1].content
    assert told[-1] == (6, 6)


def test_a_retry_after_beyond_the_patience_is_not_waited_for() -> None:
    server = Server(error(429, headers={"Retry-After": "60"}))
    failure = failing(server, calls.list_runs(), seconds=5)
    assert isinstance(failure, TooManyError)
    assert failure.retry_after == 60
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"data": 1}),
        httpx.Response(302, headers={"Location": "/login"}),
        httpx.Response(404, text="nginx"),
    ],
)
def test_answers_of_something_else_are_told_apart(answer: httpx.Response) -> None:
    failure = failing(Server(answer), calls.list_runs())
    assert isinstance(failure, UnexpectedAnswerError)
    assert failure.status == answer.status_code


def test_members_of_later_releases_are_kept() -> None:
    with asking(Server(httpx.Response(200, json={**PAGE, "new": 1}))) as client:
        assert client.list_runs().model_dump(exclude_unset=True) == {**PAGE, "new": 1}


def test_nobody_there_says_where() -> None:
    failure = failing(Server(httpx.ConnectError("refused")), calls.list_runs(), attempts=1)
    assert isinstance(failure, NotReachableError)
    assert not failure.sent
    assert "http://gateway" in failure.message


async def test_the_other_client_does_the_same() -> None:
    server = Server(httpx.ReadError("gone"), httpx.Response(200, json=PAGE))
    async with AsyncRowdock("http://gateway", "k", transport=httpx.MockTransport(server)) as client:
        assert [each async for each in client.runs()] == []
    assert len(server.requests) == 2
    assert server.requests[0].headers["authorization"] == "Bearer k"


def test_pages_are_asked_for_one_after_another() -> None:
    deleted = [{"data": ["a"], "next_after": "a"}, {"data": ["b"], "next_after": None}]
    server = Server(*(httpx.Response(200, json=page) for page in deleted))
    with asking(server) as client:
        entries = client.deleted("R", limit=1)
        assert next(entries) == "a"
        assert len(server.requests) == 1
        assert list(entries) == ["b"]
    assert server.requests[1].url.params["after"] == "a"


def test_downloads_are_refused_before_they_begin() -> None:
    with asking(Server(error(404))) as client, pytest.raises(NotFoundError), client.download_rows("R"):
        pass
    with asking(Server(httpx.Response(200, content=b"a,b"))) as client, client.download_rows("R") as pieces:
        assert b"".join(pieces) == b"a,b"
