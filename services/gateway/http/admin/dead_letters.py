"""``/api/v1/dead-letters``: for keys of operators, which the command line makes."""

import asyncio
import base64
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from litestar import Controller, Response, get, post
from litestar.params import QueryParameter
from pydantic import BaseModel, Field

from libs.storage.documents import DeadLetter
from services.gateway.access.principal import Scope
from services.gateway.http.answers import answer
from services.gateway.http.authentication import NEEDED_SCOPE
from services.gateway.http.dependencies import AnyRequest, Asking, DeadLettersIn
from services.gateway.http.json_body import json_body
from services.gateway.http.openapi import ApiOperation, JsonOperation
from services.gateway.http.page_parameters import AfterDigest, Id, Limit
from services.gateway.http.request_shape import Part, read_part
from services.gateway.stores.dead_letters import LetterStatus

MAX_SHOWN_BYTES = 256 * 1024
StatusFilter = Annotated[LetterStatus | None, QueryParameter(description="Only letters in this status.")]
TopicFilter = Annotated[
    str | None, QueryParameter(min_length=1, max_length=200, description="Only letters from this topic.")
]


class LetterHeadView(BaseModel):
    """A message that ``service`` could not handle, and why: ``code`` and ``message``."""

    id: str
    service: str
    topic: str
    partition: int
    offset: int
    code: str
    message: str
    status: LetterStatus
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None
    replayed_at: datetime | None
    created_at: datetime


class LetterPage(BaseModel):
    """Newest first; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[LetterHeadView]
    next_after: str | None


class BytesView(BaseModel):
    """Bytes as ``text`` where they are UTF-8, else as ``base64``; at most the first 256 KiB of them."""

    text: str | None = None
    base64: str | None = None
    bytes: int


class LetterView(LetterHeadView):
    """With the message as it came."""

    key: BytesView | None
    value: BytesView | None
    headers: dict[str, BytesView]


class Discarding(Part):
    """Why nothing is to be done about it."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]


@dataclass
class DiscardOperation(JsonOperation):
    """Takes a reason."""

    model = Discarding


class DeadLetterController(Controller):
    """Messages of all organizations that no service could handle."""

    path = "/api/v1/dead-letters"
    tags = ("Operators",)
    opt = {NEEDED_SCOPE: Scope.OPERATOR}  # noqa: RUF012 - as Litestar declares it

    @get("/", operation_id="listDeadLetters", summary="List dead letters", operation_class=ApiOperation)
    async def page(
        self,
        principal: Asking,
        dead_letters: DeadLettersIn,
        status: StatusFilter = None,
        topic: TopicFilter = None,
        limit: Limit = 20,
        after: AfterDigest = None,
    ) -> Response[LetterPage]:
        del principal  # whoever operates sees those of all
        found = await dead_letters.page(status, topic, limit, after)
        following = found.items[-1].id if found.more else None
        return await answer(lambda: LetterPage(data=[letter_head(each) for each in found.items], next_after=following))

    @get("/{letter_id:str}", operation_id="getDeadLetter", summary="Show one", operation_class=ApiOperation)
    async def show(self, letter_id: Id, principal: Asking, dead_letters: DeadLettersIn) -> Response[LetterView]:
        del principal
        letter = await dead_letters.get(letter_id)
        return await answer(lambda: _whole(letter))

    @post(
        "/{letter_id:str}/replay",
        operation_id="replayDeadLetter",
        summary="Publish it on its topic once more",
        description="Within seconds, once Kafka is there. 409 `NOT_REPLAYABLE` or `ALREADY_DECIDED`.",
        operation_class=ApiOperation,
        status_code=HTTPStatus.ACCEPTED,
    )
    async def replay(self, letter_id: Id, principal: Asking, dead_letters: DeadLettersIn) -> Response[LetterHeadView]:
        letter = await dead_letters.replay(letter_id, principal.subject)
        return await answer(lambda: letter_head(letter), HTTPStatus.ACCEPTED)

    @post(
        "/{letter_id:str}/discard",
        operation_id="discardDeadLetter",
        summary="Say that nothing is to be done about it",
        operation_class=DiscardOperation,
        status_code=HTTPStatus.OK,
    )
    async def discard(
        self, request: AnyRequest, letter_id: Id, principal: Asking, dead_letters: DeadLettersIn
    ) -> Response[LetterHeadView]:
        body = await json_body(request)
        reason = await asyncio.to_thread(lambda: _reason(body.decoded()))
        letter = await dead_letters.discard(letter_id, principal.subject, reason)
        return await answer(lambda: letter_head(letter))


def _reason(body: object) -> str:
    asked, _ = read_part(Discarding, body)
    return asked.reason


def letter_head(letter: DeadLetter) -> LetterHeadView:
    """A letter as lists show it."""
    same = LetterHeadView.model_fields.keys() - {"status"}
    return LetterHeadView(**letter.model_dump(include=same), status=LetterStatus(letter.state))


def _whole(letter: DeadLetter) -> LetterView:
    headers = {each["name"]: _shown(each["value"]) for each in letter.headers}
    return LetterView(
        **letter_head(letter).model_dump(),
        key=None if letter.key is None else _shown(letter.key),
        value=None if letter.value is None else _shown(letter.value),
        headers=headers,
    )


def _shown(content: bytes) -> BytesView:
    shown = content[:MAX_SHOWN_BYTES]
    try:
        return BytesView(text=shown.decode(), bytes=len(content))
    except UnicodeDecodeError:
        return BytesView(base64=base64.b64encode(shown).decode(), bytes=len(content))
