"""Takes a file into GridFS without ever holding it whole, and makes a run of it.

Template, mapping and file may come in any order. The template first lets an upload be refused before its file is
stored; with the file first it is stored, and removed again where the rest is no good. What a file is its first bytes
say: its name and the type that its sender claims are never asked.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping
from contextlib import ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from bson import ObjectId
from pymongo.errors import DuplicateKeyError, PyMongoError

from libs.contracts.lanes import Lane
from libs.contracts.purposes import RunPurpose
from libs.contracts.states import RunStatus
from libs.contracts.templates import SourceFormat
from libs.formats.content import recognise, refusal
from libs.ledger import Ledger
from libs.process.shares import NoSlotError, Turns
from libs.storage.documents import RunDocument, Starter, StatusChange, StoredFile, TemplateDocument
from libs.storage.files import FileStore
from libs.telemetry.failpoints import failpoint
from services.gateway.access.principal import Principal
from services.gateway.access.reach import Reach
from services.gateway.errors import (
    BusyError,
    ConflictError,
    GatewayError,
    LimitError,
    Problem,
    UnsupportedFileError,
    invalid_input,
    not_found,
)
from services.gateway.stores.runs import RunStore
from services.gateway.stores.templates import TemplateName, UsableTemplates
from services.gateway.templates.borrowing import Borrowing
from services.gateway.templates.catalog import Written
from services.gateway.templates.judging import ApprovedTemplate
from services.gateway.uploads.column_mapping import ColumnMapping, column_mapping
from services.gateway.uploads.file_names import display_name
from services.gateway.uploads.heads import with_head
from services.gateway.uploads.quotas import QuotaKeeper
from services.gateway.uploads.replays import different_parts, key_reused
from services.gateway.webhooks.endpoints import without_receiver

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Received:
    """An upload that is complete.

    Attributes:
        principal: acts for the organization whose records it changes; everything that follows goes by it.
        template: perhaps one of another organization.
        metadata, external_user_id: what the client wants to find on the run again.
        goes_on: the run is executed once it is validated, whatever its template says.
        request_id: of a request on Kafka; the events of the run carry it.
    """

    principal: Principal
    template: TemplateDocument
    file: StoredFile
    mapping: ColumnMapping | None
    metadata: str | None = None
    external_user_id: str | None = None
    goes_on: bool = False
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """The run of an upload; ``replayed`` where an earlier request with the same key made it."""

    run: RunDocument
    replayed: bool = False


class Upload:
    """One upload while it arrives. Each part is judged as soon as there is enough to judge it by.

    Args:
        files: where its file is stored.
        reach: knows for whom it may be, and whose templates there are.
        caller: who sends it.
        admit: called before the file is taken, with whom it is for as far as that is known.

    Attributes:
        file: once it is stored.
        metadata: of the client's own, the text of a JSON object; kept on the run.
        external_user_id: whom the client means by it; likewise.
        goes_on, request_id: see ``Received``.
    """

    def __init__(
        self, files: FileStore, reach: Reach, caller: Principal, admit: Callable[[Principal], Awaitable[None]]
    ) -> None:
        self._files = files
        self._reach = reach
        self._caller = caller
        self._admit = admit
        self._principal = caller
        self._template: TemplateDocument | None = None
        self._saved = False
        self._head: bytes | None = None
        self._columns: Mapping[str, object] | None = None
        self._mapping: ColumnMapping | None = None
        self.file: StoredFile | None = None
        self.metadata: str | None = None
        self.external_user_id: str | None = None
        self.goes_on = False
        self.request_id: str | None = None

    async def choose_template(self, template_id: str, vocabulary: str) -> None:
        """Read the file by a saved template.

        Raises:
            NotFoundError: there is none that is written in that vocabulary.
            UnsupportedFileError, InvalidInputError: what arrived before does not go with it.
        """
        # That of an organization below may be used for that organization, which may be named only later.
        owner = await self._reach.acting_for_owner(self._caller, "template_id", template_id)
        self._choose(await (await self._usable(owner, vocabulary)).get(template_id), template_id)

    async def choose_named_template(self, name: TemplateName, source: SourceFormat | None = None) -> None:
        """Likewise, one that the organization may use, of any vocabulary; ``source`` says how the file is read in the
        place of the template."""
        found = await (await self._usable(self._principal, None)).named(name)
        if found is not None and source is not None:
            found = found.model_copy(update={"template": found.template.model_copy(update={"source": source})})
        self._choose(found, name.text)

    def _choose(self, found: TemplateDocument | None, name: str) -> None:
        if found is None:
            raise not_found("template", name)
        self._template = found
        self._saved = True
        self._judge()

    async def choose_template_and_its_tenant(self, template_id: str, vocabulary: str) -> None:
        """Likewise, for the organization that has it."""
        await self.choose_template(template_id, vocabulary)
        if self._template is not None:
            await self.choose_tenant(self._template.tenant_id)

    async def choose_tenant(self, tenant_id: str) -> None:
        """Let the upload be for an organization.

        Raises:
            NotFoundError: as ``Reach.acting_for``.
        """
        self._principal = await self._reach.acting_for(self._caller, tenant_id)
        if self.file is not None:
            await self._files.give(self.file, tenant_id)

    async def _usable(self, principal: Principal, vocabulary: str | None) -> UsableTemplates:
        return UsableTemplates(principal, vocabulary, await self._reach.above(principal.tenant_id))

    def bring_template(self, approved: ApprovedTemplate, written: Written) -> None:
        """Read the file by a template that is not saved.

        Raises:
            UnsupportedFileError, InvalidInputError: what arrived before does not go with it.
        """
        now = datetime.now(UTC)
        self._template = TemplateDocument(
            _id=str(ObjectId()),
            tenant_id=self._caller.tenant_id,
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
            LimitError, StorageFullError: the organization has what it may have.
        """
        await self._admit(self._principal)
        async with aclosing(with_head(content, self._know_head)) as chunks:
            self.file = await self._files.store(
                display_name(name), chunks, tenant_id=self._principal.tenant_id, max_bytes=max_bytes
            )

    async def complete(self) -> Received:
        """All that is needed.

        Raises:
            InvalidInputError: at ``template`` and ``file``: it did not come.
            NotFoundError: the template is neither the caller's nor one that the organization may use.
        """
        if self._template is not None and self.file is not None:
            if self._saved and not await self._may_use(self._template):
                raise not_found("template", self._template.id)
            told = self.metadata, self.external_user_id, self.goes_on, self.request_id
            return Received(self._principal, self._template, self.file, self._mapping, *told)
        needed = {"template": self._template, "file": self.file}
        raise invalid_input(
            *(Problem(place, "MISSING", "is required") for place, part in needed.items() if part is None)
        )

    async def _may_use(self, template: TemplateDocument) -> bool:
        """Whether the caller or the organization that the upload is for may use a saved template."""
        for tenant_id in (self._caller.tenant_id, self._principal.tenant_id):
            above = await self._reach.above(tenant_id) if template.template.shared_with_children else ()
            if template.tenant_id in {tenant_id, *above}:
                return True
        return False

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
        reach: for whom uploads may be.
        ledger: where runs are submitted.
        borrowing: registers what a template asks for in another organization than its own.
        turns: how many files stream in at the same time; further ones wait for their turn.
        keeper: what an organization may have.
        large_from: size from which on a file is large, in bytes.
    """

    def __init__(
        self,
        files: FileStore,
        reach: Reach,
        ledger: Ledger,
        borrowing: Borrowing,
        turns: Turns,
        keeper: QuotaKeeper,
        large_from: int,
    ) -> None:
        self._files = files
        self._reach = reach
        self._ledger = ledger
        self._borrowing = borrowing
        self._turns = turns
        self._keeper = keeper
        self._large_from = large_from

    @asynccontextmanager
    async def receiving(
        self, caller: Principal, announced: int = 0, idempotency_key: str | None = None
    ) -> AsyncGenerator[Upload]:
        """An upload from its first byte to its last. Whatever is raised inside, nothing of it is left behind.

        The caller's organization waits for its turn; what the upload takes counts for the one that it is for.

        Args:
            caller: who sends it.
            announced: how many bytes are to come; 0 where nobody knows.
            idempotency_key: where a run has it already, no new one is made, and no quota stands in the way.

        Raises:
            BusyError, LimitError: its turn did not come in time, because of others or of the organization itself.
        """
        try:
            async with self._turns.turn(caller.home):
                with ExitStack() as arriving:

                    async def admit(principal: Principal) -> None:
                        obstacle = await self._keeper.obstacle(principal, announced)
                        if obstacle is not None and not await self._made_already(principal, idempotency_key):
                            raise obstacle
                        arriving.enter_context(self._keeper.arriving(principal, announced))

                    upload = Upload(self._files, self._reach, caller, admit)
                    try:
                        yield upload
                    except BaseException:
                        await asyncio.shield(self._discard(upload.file))
                        raise
        except NoSlotError as full:
            raise _no_turn(own=full.own) from None

    async def _made_already(self, principal: Principal, idempotency_key: str | None) -> bool:
        return idempotency_key is not None and await RunStore(principal).by_idempotency_key(idempotency_key) is not None

    async def _admit(self, received: Received) -> None:
        """Let a run of a file that has arrived be made.

        Raises:
            LimitError, StorageFullError: the organization has what it may have; nothing of the file is left behind.
        """
        obstacle = await self._keeper.obstacle(received.principal, received.file.size)
        if obstacle is not None:
            await self._discard(received.file)
            raise obstacle
        self._keeper.taken_in(received.principal, received.file.size)

    async def _borrow(self, received: Received) -> None:
        """See that a template of another organization can work in the one that the run is for.

        Raises:
            ConflictError: at ``template``, see ``Borrowing``; nothing of the file is left behind.
        """
        template, tenant_id = received.template, received.principal.tenant_id
        if template.tenant_id == tenant_id:
            return
        try:
            await self._borrowing.prepare(tenant_id, template.template)
        except ConflictError as error:
            await self._discard(received.file)
            raise error.placed(lambda _: "template") from error

    async def submit(self, received: Received, idempotency_key: str | None, *, one_run: bool = False) -> Submitted:
        """Make a run of an upload; or find the run that an equal request with the same key made.

        Args:
            one_run: the key is for one run in any case; otherwise that of a refused file may be used for another.

        Raises:
            ConflictError: the organization cannot use the template, see ``Borrowing``.
            InvalidInputError: ``IDEMPOTENCY_KEY_REUSED`` at ``idempotency_key``: another request has it.
            LimitError, StorageFullError: the organization has what it may have. In any case nothing of the upload is
                left behind.
        """
        failpoint("gateway.file_stored_before_submit")
        runs = RunStore(received.principal)
        duplicate_of = await runs.newest_of_content(received.template.id, received.file.sha256)
        known = {"idempotency_key": idempotency_key, "duplicate_of": duplicate_of}
        run = self._new_run(received).model_copy(update=known)
        holder = None if idempotency_key is None else await runs.by_idempotency_key(idempotency_key)

        def gives_way(holder: RunDocument) -> bool:
            return not one_run and holder.refused and bool(different_parts(holder, run))

        if holder is None or gives_way(holder):
            await self._borrow(received)
            await self._admit(received)
        while holder is None or gives_way(holder):
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
                raise key_reused(holder, differing)
            return Submitted(holder, replayed=True)
        failpoint("gateway.submitted_before_answer")
        return Submitted(holder)

    async def dry_run(self, received: Received, purpose: RunPurpose = RunPurpose.DRY_RUN) -> RunDocument:
        """The run of an upload that is only tried, to be submitted: checked, told to nobody, removed with every trace.

        Raises:
            LimitError, StorageFullError: the organization has what it may have.
        """
        await self._admit(received)
        return self._new_run(received).model_copy(update={"purpose": purpose, "webhook_endpoint_id": None})

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
    principal, document = received.principal, received.template
    if document.tenant_id != principal.tenant_id:
        document = without_receiver(document)
    template = document.template
    if received.goes_on and not template.auto_execute:
        template = template.model_copy(update={"auto_execute": True})
    return RunDocument(
        _id=received.file.id,
        tenant_id=principal.tenant_id,
        template_id=document.id,
        template_version=document.version,
        template=template,
        vocabulary=document.vocabulary,
        wording=document.wording,
        webhook_endpoint_id=document.webhook_endpoint_id if document.template.webhook_enabled else None,
        file=received.file,
        column_mapping=received.mapping,
        metadata=received.metadata,
        external_user_id=received.external_user_id,
        request_id=received.request_id,
        lane=lane,
        started_by=Starter(tenant_id=principal.home, subject=principal.subject),
        history=[StatusChange(version=1, status=RunStatus.PENDING, at=now)],
        created_at=now,
        updated_at=now,
    )
