"""Takes a file into GridFS without ever holding it whole, and makes a run of it.

Template, mapping and file may come in any order. The template first lets an upload be refused before its file is
stored; with the file first it is stored, and removed again where the rest is no good. What a file is its first bytes
say: its name and the type that its sender claims are never asked.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from bson import ObjectId
from pymongo.errors import DuplicateKeyError, PyMongoError

from libs.contracts.lanes import Lane
from libs.contracts.purposes import RunPurpose
from libs.contracts.states import RunStatus
from libs.formats.content import HEAD_BYTES, recognise, refusal
from libs.ledger import Ledger
from libs.process.shares import NoSlotError, Turns
from libs.storage.documents import RunDocument, StatusChange, StoredFile, TemplateDocument
from libs.storage.files import FileStore
from libs.telemetry.failpoints import failpoint
from services.gateway.access.principal import Principal
from services.gateway.errors import (
    BusyError,
    GatewayError,
    InvalidInputError,
    LimitError,
    Problem,
    UnsupportedFileError,
    invalid_input,
    not_found,
)
from services.gateway.stores.runs import RunStore
from services.gateway.stores.templates import TemplateStore
from services.gateway.templates.catalog import Written
from services.gateway.templates.judging import ApprovedTemplate
from services.gateway.uploads.column_mapping import ColumnMapping, column_mapping
from services.gateway.uploads.file_names import display_name
from services.gateway.uploads.quotas import QuotaKeeper

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Received:
    """An upload that is complete."""

    template: TemplateDocument
    file: StoredFile
    mapping: ColumnMapping | None


@dataclass(frozen=True, slots=True)
class Submitted:
    """The run of an upload; ``replayed`` where an earlier request with the same key made it."""

    run: RunDocument
    replayed: bool = False


class Upload:
    """One upload while it arrives. Each part is judged as soon as there is enough to judge it by."""

    def __init__(self, files: FileStore, principal: Principal) -> None:
        self._files = files
        self._principal = principal
        self._template: TemplateDocument | None = None
        self._head: bytes | None = None
        self._columns: Mapping[str, object] | None = None
        self._mapping: ColumnMapping | None = None
        self.file: StoredFile | None = None

    async def choose_template(self, template_id: str) -> None:
        """Read the file by a saved template.

        Raises:
            NotFoundError: there is none.
            UnsupportedFileError, InvalidInputError: what arrived before does not go with it.
        """
        found = await TemplateStore(self._principal).get(template_id)
        if found is None:
            raise not_found("template", template_id)
        self._template = found
        self._judge()

    def bring_template(self, approved: ApprovedTemplate, written: Written) -> None:
        """Read the file by a template that is not saved.

        Raises:
            UnsupportedFileError, InvalidInputError: what arrived before does not go with it.
        """
        now = datetime.now(UTC)
        self._template = TemplateDocument(
            _id=str(ObjectId()),
            tenant_id=self._principal.tenant_id,
            template=approved.template,
            vocabulary=written.vocabulary,
            wording=written.wording(1),
            created_at=now,
            updated_at=now,
        )
        self._judge()

    def map_columns(self, columns: Mapping[str, object]) -> None:
        """Let the column under each header fill the field that ``columns`` names for it.

        Raises:
            InvalidInputError: at ``mapping``, it cannot be followed.
        """
        self._columns = columns
        self._judge()

    async def take_file(self, name: str, content: AsyncIterable[bytes], max_bytes: int) -> None:
        """Store the file as it arrives.

        Raises:
            UnsupportedFileError: the template's format does not read this kind of file.
            FileTooLargeError: more than ``max_bytes`` arrived.
        """
        async with aclosing(self._watched(content)) as chunks:
            self.file = await self._files.store(
                display_name(name), chunks, tenant_id=self._principal.tenant_id, max_bytes=max_bytes
            )

    def complete(self) -> Received:
        """All that is needed.

        Raises:
            InvalidInputError: at ``template`` and ``file``: it did not come.
        """
        if self._template is not None and self.file is not None:
            return Received(self._template, self.file, self._mapping)
        needed = {"template": self._template, "file": self.file}
        raise invalid_input(
            *(Problem(place, "MISSING", "is required") for place, part in needed.items() if part is None)
        )

    async def _watched(self, content: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
        """``content``, judged as soon as enough of it is there; the network may bring it byte by byte."""
        head = bytearray()
        async for chunk in content:
            if self._head is None:
                head += chunk[: HEAD_BYTES - len(head)]
                if len(head) == HEAD_BYTES:
                    self._know_head(bytes(head))
            yield chunk
        if self._head is None:
            self._know_head(bytes(head))

    def _know_head(self, head: bytes) -> None:
        self._head = head
        self._judge()

    def _judge(self) -> None:
        """Refuse what the parts so far tell only together."""
        if self._template is None:
            return
        template = self._template.template
        if self._head is not None and (reason := refusal(template.source.file_type, recognise(self._head))) is not None:
            problem = Problem("file", "UNSUPPORTED_FILE", reason)
            raise UnsupportedFileError(problem.code, reason, [problem])
        if self._columns is not None and self._mapping is None:
            self._mapping = column_mapping(self._columns, template)


class Uploads:
    """Receives files and submits runs.

    Args:
        files: where files are stored.
        ledger: where runs are submitted.
        turns: how many files stream in at the same time; further ones wait for their turn.
        keeper: what an organization may have.
        large_from: size from which on a file is large, in bytes.
    """

    def __init__(self, files: FileStore, ledger: Ledger, turns: Turns, keeper: QuotaKeeper, large_from: int) -> None:
        self._files = files
        self._ledger = ledger
        self._turns = turns
        self._keeper = keeper
        self._large_from = large_from

    @asynccontextmanager
    async def receiving(
        self, principal: Principal, announced: int = 0, idempotency_key: str | None = None
    ) -> AsyncGenerator[Upload]:
        """An upload from its first byte to its last. Whatever is raised inside, nothing of it is left behind.

        Args:
            principal: who sends it.
            announced: how many bytes are to come; 0 where nobody knows.
            idempotency_key: where a run has it already, no new one is made, and no quota stands in the way.

        Raises:
            BusyError, LimitError: its turn did not come in time, because of others or of the organization itself.
            LimitError, StorageFullError: the organization has what it may have.
        """
        try:
            async with self._turns.turn(principal.tenant_id):
                obstacle = await self._keeper.obstacle(principal, announced)
                if obstacle is not None and not await self._made_already(principal, idempotency_key):
                    raise obstacle
                with self._keeper.arriving(principal, announced):
                    upload = Upload(self._files, principal)
                    try:
                        yield upload
                    except BaseException:
                        await asyncio.shield(self._discard(upload.file))
                        raise
        except NoSlotError as full:
            raise _no_turn(own=full.own) from None

    async def _made_already(self, principal: Principal, idempotency_key: str | None) -> bool:
        return idempotency_key is not None and await RunStore(principal).by_idempotency_key(idempotency_key) is not None

    async def _admit(self, principal: Principal, file: StoredFile) -> None:
        """Let a run of a file that has arrived be made.

        Raises:
            LimitError, StorageFullError: the organization has what it may have; nothing of the file is left behind.
        """
        obstacle = await self._keeper.obstacle(principal, file.size)
        if obstacle is not None:
            await self._discard(file)
            raise obstacle
        self._keeper.taken_in(principal, file.size)

    async def submit(self, principal: Principal, received: Received, idempotency_key: str | None) -> Submitted:
        """Make a run of an upload; or find the run that an equal request with the same key made.

        Raises:
            InvalidInputError: ``IDEMPOTENCY_KEY_REUSED`` at ``idempotency_key``: another request has it.
            LimitError, StorageFullError: the organization has what it may have. In any case nothing of the upload is
                left behind.
        """
        failpoint("gateway.file_stored_before_submit")
        runs = RunStore(principal)
        duplicate_of = await runs.newest_of_content(received.template.id, received.file.sha256)
        known = {"idempotency_key": idempotency_key, "duplicate_of": duplicate_of}
        run = self._new_run(received).model_copy(update=known)
        holder = None if idempotency_key is None else await runs.by_idempotency_key(idempotency_key)
        if holder is None or (holder.refused and different_parts(holder, run)):
            await self._admit(principal, run.file)
        while holder is None or (holder.refused and different_parts(holder, run)):
            try:
                await self._ledger.runs.submit(run, key_of=None if holder is None else holder.id)
            except DuplicateKeyError:
                # Somebody was faster; or this is the own run, whose first attempt got no answer.
                holder = await (
                    runs.get(run.id) if idempotency_key is None else runs.by_idempotency_key(idempotency_key)
                )
                if holder is None:
                    raise
            else:
                holder = run
        if holder.id != run.id:
            await self._discard(run.file)
            if differing := different_parts(holder, run):
                raise _key_reused(holder, differing)
            return Submitted(holder, replayed=True)
        failpoint("gateway.submitted_before_answer")
        return Submitted(holder)

    async def submit_dry_run(self, principal: Principal, received: Received) -> RunDocument:
        """Make a dry run of an upload: checked, told to nobody, and removed with every trace.

        Raises:
            LimitError, StorageFullError: the organization has what it may have.
        """
        await self._admit(principal, received.file)
        run = self._new_run(received).model_copy(update={"purpose": RunPurpose.DRY_RUN, "webhook_endpoint_id": None})
        await self._ledger.runs.submit(run)
        failpoint("gateway.dry_run_submitted")
        return run

    def _new_run(self, received: Received) -> RunDocument:
        return _new_run(received, Lane.of_size(received.file.size, self._large_from))

    async def _discard(self, file: StoredFile | None) -> None:
        if file is None:
            return
        try:
            await self._files.delete(file.id)
        except PyMongoError as error:
            logger.warning("upload.file_left_to_the_sweep", file_id=file.id, error=str(error))


def _no_turn(*, own: bool) -> GatewayError:
    if own:
        return LimitError(
            "TOO_MANY_UPLOADS_OF_ORGANIZATION",
            "this organization has as many uploads at work and waiting as it may; send fewer at once, or try again",
        )
    return BusyError("TOO_MANY_UPLOADS", "too many files are being uploaded at the moment; try again")


def _new_run(received: Received, lane: Lane) -> RunDocument:
    """The run of an upload, under the id of its file: so an orphan file is one without a run of its id."""
    now = datetime.now(UTC)
    document = received.template
    return RunDocument(
        _id=received.file.id,
        tenant_id=document.tenant_id,
        template_id=document.id,
        template_version=document.version,
        template=document.template,
        vocabulary=document.vocabulary,
        wording=document.wording,
        webhook_endpoint_id=document.webhook_endpoint_id if document.template.webhook_enabled else None,
        file=received.file,
        column_mapping=received.mapping,
        lane=lane,
        history=[StatusChange(version=1, status=RunStatus.PENDING, at=now)],
        created_at=now,
        updated_at=now,
    )


def different_parts(one: RunDocument, other: RunDocument) -> list[str]:
    """In what the uploads of two runs differ. The name of a file is for display only and makes no difference."""
    parts = {
        "the file": one.file.sha256 != other.file.sha256,
        "the template": one.template_id != other.template_id,
        "the mapping": _mapped(one) != _mapped(other),
    }
    return [part for part, differs in parts.items() if differs]


def _mapped(run: RunDocument) -> dict[str, str | None] | None:
    return None if run.column_mapping is None else dict(run.column_mapping)


def _key_reused(holder: RunDocument, differing: Sequence[str]) -> InvalidInputError:
    message = (
        f"this key made the run {holder.id} already, and {' and '.join(differing)} differ; "
        "send a new key with a new upload, or the first upload as it was"
    )
    return InvalidInputError(
        "IDEMPOTENCY_KEY_REUSED", message, [Problem("idempotency_key", "IDEMPOTENCY_KEY_REUSED", message)]
    )
