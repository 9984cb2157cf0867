"""An import that is asked for on Kafka: judged, started once, answered."""

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

from libs.contracts.errors import TransientError
from libs.contracts.ids import event_id, of_prefixed, of_uuid
from libs.contracts.requests import (
    MAX_TOLD_PROBLEMS,
    ImportRequested,
    RequestAccepted,
    RequestProblem,
    RequestRejected,
)
from libs.contracts.templates import SourceFormat
from libs.formats.file_types import JSON
from libs.ledger.answers import Answers
from libs.messaging.receiving import Incoming
from libs.storage.documents import RunDocument, StoredFile
from libs.storage.files import FileStore, FileTooLargeError
from libs.telemetry.failpoints import failpoint
from libs.telemetry.metrics import Metrics
from services.gateway.access.callers import Callers
from services.gateway.access.principal import Principal
from services.gateway.access.rates import Kind
from services.gateway.access.reach import Reach
from services.gateway.errors import (
    BusyError,
    GatewayError,
    InvalidInputError,
    LimitError,
    Problem,
)
from services.gateway.requests.authorization import Asker, Askers
from services.gateway.requests.reading import read_request
from services.gateway.requests.settings import RequestSettings
from services.gateway.shown import shown
from services.gateway.stores.runs import RunStore
from services.gateway.stores.templates import TemplateName, UsableTemplates
from services.gateway.uploads.column_mapping import column_mapping
from services.gateway.uploads.starting import ImportStart, start_import, start_key
from services.gateway.uploads.uploads import Uploads

KIND = "request"
ROWS_NAME = "rows.json"
_PLACES = {"idempotency_key": "request_id", "file": "rows"}
"""What a request calls parts of an upload."""


class TakeRequest:
    """Starts the import that a message asks for, and tells its run or every reason why there is none.

    Args:
        askers: know who has sent a message.
        reach: knows whose templates there are.
        callers: count it, as a write of its organization.
        uploads: where it becomes a run.
        files: where files of earlier runs are.
        answers: tells what became of it.
        metrics: where that is counted.
        settings: what a message may hold.
    """

    def __init__(
        self,
        askers: Askers,
        reach: Reach,
        callers: Callers,
        uploads: Uploads,
        files: FileStore,
        answers: Answers,
        metrics: Metrics,
        settings: RequestSettings,
    ) -> None:
        self._askers = askers
        self._reach = reach
        self._callers = callers
        self._uploads = uploads
        self._files = files
        self._answers = answers
        self._metrics = metrics
        self._settings = settings

    async def __call__(self, message: Incoming) -> None:
        """Take a message in. Whatever crashes on the way, it comes again and ends in the same answer.

        Raises:
            PermanentError: it is for operators: nothing says for whom it is, or whoever sent it may not ask for that.
            TransientError: too much is going on.
        """
        limits = self._settings
        read = await asyncio.to_thread(read_request, message.value, limits.request_max_rows, limits.request_max_bytes)
        asker = await self._askers.of(message, read)
        answer_id = event_id("request-rejected", asker.principal.tenant_id, asker.request_id, *message.position)
        if (known := await self._answers.rejection(answer_id)) is not None:
            await self._answers.rejected(known)
            return
        try:
            if read.refusal is not None:
                raise read.refusal
            assert read.request is not None
            run = await self._start(asker, read.request, read.rows)
        except BusyError as error:
            raise TransientError(error.detail) from error
        except (GatewayError, FileTooLargeError) as error:
            failpoint("requests.refused_before_answer")
            await self._answers.rejected(_rejection(answer_id, asker, error))
            self._metrics.import_requests.labels("rejected").inc()
            self._metrics.import_request_rejections.labels(error.code).inc()
        else:
            failpoint("requests.submitted_before_answer")
            await self._answers.accepted(_acceptance(asker, run))
            self._metrics.import_requests.labels("accepted").inc()
        failpoint("requests.answered_before_commit")

    async def _start(self, asker: Asker, request: ImportRequested, rows: bytes | None) -> RunDocument:
        principal = asker.principal
        await self._count(principal)
        template_id, stored = await self._named(asker, request)
        if rows is not None:
            name, content, size = ROWS_NAME, _once(rows), len(rows)
        else:
            assert stored is not None
            name, content, size = stored.name, self._files.chunks(stored), stored.size
        start = ImportStart(
            TemplateName(template_id),
            request.file_name or name,
            columns=request.mapping,
            metadata=None if request.metadata is None else json.dumps(request.metadata, ensure_ascii=False),
            external_user_id=request.external_user_id,
            goes_on=request.auto_execute,
            request_id=request.request_id,
            source=None if rows is None else SourceFormat(file_type=JSON.name),
        )
        key = start_key(KIND, request.request_id)
        try:
            submitted = await start_import(
                self._uploads, principal, start, content, key=key, max_bytes=max(size, 1), announced=size
            )
        except InvalidInputError as error:
            raise _reused() if error.code == "IDEMPOTENCY_KEY_REUSED" else error from error
        return submitted.run

    async def _count(self, principal: Principal) -> None:
        """Count a write of whoever asks.

        Raises:
            LimitError: ``RATE_LIMIT_EXCEEDED``.
        """
        asking = Principal(principal.home, principal.subject, principal.key_id)
        allowance = (await self._callers.count_session(asking, Kind.WRITES)).allowance
        if allowance is not None and not allowance.passed:
            raise LimitError(
                "RATE_LIMIT_EXCEEDED",
                f"this producer may ask {allowance.limit:,} times a minute by the plan of its organization; send the "
                f"request again in {allowance.retry_after} s",
            )

    async def _named(self, asker: Asker, request: ImportRequested) -> tuple[str, StoredFile | None]:
        """Id of the template, and the file, if any, that a request names.

        Raises:
            InvalidInputError: everything that is wrong with that, and with the mapping.
        """
        principal, problems = asker.principal, list[Problem]()
        place, name = _template(request)
        template = await UsableTemplates(principal, None, await self._reach.above(principal.tenant_id)).named(name)
        if template is None or (asker.templates is not None and template.id not in asker.templates):
            message = f"there is no template {shown(name.text)} that may be used here; check it"
            problems.append(Problem(place, "TEMPLATE_NOT_FOUND", message))
        elif request.mapping is not None:
            try:
                column_mapping(request.mapping, template.template)
            except InvalidInputError as error:
                problems += error.problems
        file = None if request.file_id is None else await self._stored(principal, request.file_id, problems)
        if problems:
            raise InvalidInputError(problems[0].code if len(problems) == 1 else "INVALID_REQUEST", None, problems)
        assert template is not None
        return template.id, file

    async def _stored(self, principal: Principal, file_id: str, problems: list[Problem]) -> StoredFile | None:
        """The file of a run of the organization, as long as it is stored."""
        run = await RunStore(principal).get(file_id)
        if run is None or run.file_removed_at is not None or run.retry is not None:
            message = f"there is no stored file {shown(file_id)}: it is the id of a run whose file is still kept"
            problems.append(Problem("file_id", "FILE_NOT_FOUND", message))
            return None
        if run.file.size > (most := self._settings.request_max_file_bytes):
            message = f"has {run.file.size:,} bytes, and at most {most:,} are taken; upload it over HTTP"
            problems.append(Problem("file_id", "FILE_TOO_LARGE", message))
        return run.file


def _template(request: ImportRequested) -> tuple[str, TemplateName]:
    """Where a request names its template, and how."""
    if request.template_key is not None:
        return "template_key", TemplateName(request.template_key, is_key=True)
    given = request.template_id or ""
    return "template_id", TemplateName(of_prefixed(given) or of_uuid(given) or given)


def _reused() -> InvalidInputError:
    message = (
        "this request_id has made a run already, by another template, mapping or metadata or of other rows; send a new "
        "request_id with a new request, or the first request as it was, byte for byte"
    )
    return InvalidInputError("REQUEST_ID_REUSED", message, [Problem("request_id", "REQUEST_ID_REUSED", message)])


async def _once(content: bytes) -> AsyncGenerator[bytes]:
    yield content


def _acceptance(asker: Asker, run: RunDocument) -> RequestAccepted:
    tenant_id = asker.principal.tenant_id
    return RequestAccepted(
        event_id=event_id("request-accepted", tenant_id, asker.request_id, run.id),
        occurred_at=run.created_at,
        request_id=asker.request_id,
        tenant_id=tenant_id,
        run_id=run.id,
        template_id=run.template_id,
    )


def _rejection(answer_id: str, asker: Asker, error: GatewayError | FileTooLargeError) -> RequestRejected:
    problems = error.problems if isinstance(error, GatewayError) else ()
    problems = problems or (Problem("value", error.code, error.detail),)
    untold = error.untold if isinstance(error, GatewayError) else 0
    told = problems[:MAX_TOLD_PROBLEMS]
    return RequestRejected(
        event_id=answer_id,
        occurred_at=datetime.now(UTC),
        request_id=asker.request_id,
        tenant_id=asker.principal.tenant_id,
        code=error.code,
        message=error.detail,
        problems=tuple(
            RequestProblem(location=_place(each.location), code=each.code, message=each.message) for each in told
        ),
        untold=untold + len(problems) - len(told),
        retry_after_seconds=error.retry_after_seconds if isinstance(error, GatewayError) else None,
    )


def _place(location: str) -> str:
    return _PLACES.get(location, location)
