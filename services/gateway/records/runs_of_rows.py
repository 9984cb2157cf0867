"""Runs that are about rejected rows of another run."""

from datetime import UTC, datetime

from bson import ObjectId

from libs.contracts.lanes import Lane
from libs.contracts.purposes import RunPurpose
from libs.contracts.states import RunStatus
from libs.storage.documents import RetryRequest, RunDocument, Starter, StatusChange, StoredFile
from services.gateway.access.principal import Principal


def started_by(principal: Principal) -> Starter:
    """Whoever asks, as a run remembers it."""
    return Starter(tenant_id=principal.home, subject=principal.subject)


def run_of_rows(
    starter: Starter, parent: RunDocument, purpose: RunPurpose, request: RetryRequest, lane: Lane
) -> RunDocument:
    """A run over rows of ``parent``, under its plan and its template.

    It goes on by itself. What it is about are rows, not a whole file: of a sync it deletes nothing.
    Its file has no content, whatever is stored under its id, so that a parser that does not know of retries reads none.
    A file of corrections is stored under the id of the run, and removed with it.
    """
    now = datetime.now(UTC)
    identifier, name = str(ObjectId()), parent.file.name
    if request.file is not None:
        identifier, name = request.file.id, request.file.name
    return RunDocument(
        _id=identifier,
        tenant_id=parent.tenant_id,
        template_id=parent.template_id,
        template_version=parent.template_version,
        template=parent.template.model_copy(update={"auto_execute": True}),
        vocabulary=parent.vocabulary,
        wording=parent.wording,
        webhook_endpoint_id=parent.webhook_endpoint_id if purpose.traits.told else None,
        file=StoredFile(id=identifier, name=name, size=0, sha256=""),
        plan=parent.plan,
        purpose=purpose,
        parent_run_id=parent.id,
        retry=request,
        unsettled=purpose.traits.executed,
        lane=lane,
        started_by=starter,
        history=[StatusChange(version=1, status=RunStatus.PENDING, at=now)],
        created_at=now,
        updated_at=now,
    )
