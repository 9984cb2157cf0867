"""``/api/v1/admin/status``: the installation at a look, for keys of operators."""

from datetime import datetime
from typing import Annotated

from litestar import Controller, Response, get
from litestar.params import QueryParameter
from pydantic import BaseModel, Field

from libs.contracts.states import BatchState, RunStatus
from services.gateway.access.principal import Scope
from services.gateway.http.admin.dead_letters import LetterHeadView, letter_head
from services.gateway.http.answers import answer
from services.gateway.http.authentication import NEEDED_SCOPE
from services.gateway.http.dependencies import Asking, InstallationIn
from services.gateway.http.openapi import ApiOperation
from services.gateway.status.overview import Overview, Process, StuckRun
from services.gateway.stores.dead_letters import LetterStatus
from services.gateway.stores.installation import MOST_COUNTED, Backlog, DatabaseSize

StuckAfter = Annotated[
    float,
    QueryParameter(ge=10, le=86_400, description="Seconds after which a run that has not moved counts as stuck."),
]


class ProcessView(BaseModel):
    """A process of a service. One that ends in order is gone from here; one that is not `alive` has fallen silent.

    `clock_ahead_ms` is by how much its clock was ahead of the database's; `rescues` what it has rescued since its
    start, by kind.
    """

    service: str
    instance: str
    version: str
    started_at: datetime
    seen_at: datetime
    alive: bool
    clock_ahead_ms: int
    rescues: dict[str, int]


class ConsumerView(BaseModel):
    """A consumer group: messages of `topic` that `service` has yet to handle."""

    service: str
    topic: str
    state: str
    members: int
    waiting: int


class KafkaView(BaseModel):
    """How far consumers are behind, or in `obstacle` why that cannot be told."""

    consumers: list[ConsumerView]
    obstacle: str | None


class BacklogView(BaseModel):
    """How many there are, and since when the oldest."""

    count: int = Field(description=f"At most {MOST_COUNTED:,}.")
    oldest_at: datetime | None


class HolderView(BaseModel):
    """The process that has taken a part of a run, and whether it is believed alive."""

    work: str = Field(description="`parse`, `whole_file_check` or `sync_plan`.")
    owner: str
    until: datetime | None
    alive: bool


class StuckRunView(BaseModel):
    """A run that waits for nobody but Rowdock and has not moved, with `why`. `rescues` tells how often each service has
    looked after it, `last_error` the newest message about it that nobody could handle."""

    run_id: str
    tenant_id: str
    status: RunStatus
    created_at: datetime
    quiet_since: datetime
    why: str
    batches: dict[BatchState, int]
    announced_batches: int
    attempts: int
    holder: HolderView | None
    rescues: dict[str, int]
    last_error: LetterHeadView | None


class DeadLettersView(BaseModel):
    """Messages that nobody could handle, by what is to become of them, and the newest few."""

    by_status: dict[LetterStatus, BacklogView]
    newest: list[LetterHeadView]


class DatabaseView(BaseModel):
    """In bytes; `disk_used` and `disk_total` of the file system that the database is on."""

    name: str
    data: int
    stored: int
    indexes: int
    disk_used: int
    disk_total: int


class RetentionView(BaseModel):
    """How long is kept what, the oldest that there is, and organizations that are to go and are not gone yet."""

    files_days: float
    runs_days: float
    dead_letters_days: float
    idempotency_keys_hours: float
    oldest_ended_run_at: datetime | None
    oldest_dead_letter_at: datetime | None
    leaving_organizations: int


class StatusView(BaseModel):
    """The installation `at` a moment. Runs in statuses of `not_all_looked_at` may be stuck without being listed."""

    at: datetime
    release: str
    processes: list[ProcessView]
    kafka: KafkaView
    runs: dict[RunStatus, BacklogView]
    stuck_after_seconds: float
    stuck: list[StuckRunView]
    not_all_looked_at: list[RunStatus]
    dead_letters: DeadLettersView
    outbox: dict[str, BacklogView] = Field(description="Events that each service has not published yet.")
    databases: list[DatabaseView]
    retention: RetentionView


class StatusController(Controller):
    """What concerns the installation as a whole."""

    path = "/api/v1/admin"
    tags = ("Operators",)
    opt = {NEEDED_SCOPE: Scope.OPERATOR}  # noqa: RUF012 - as Litestar declares it

    @get(
        "/status",
        operation_id="getStatus",
        summary="What runs, what waits, what is stuck and why",
        operation_class=ApiOperation,
    )
    async def show(
        self, principal: Asking, installation: InstallationIn, stuck_after_seconds: StuckAfter = 300
    ) -> Response[StatusView]:
        del principal  # whoever operates sees what concerns all
        found = await installation.overview(stuck_after_seconds)
        return await answer(lambda: _view(found))


def _view(found: Overview) -> StatusView:
    retention = found.retention
    return StatusView(
        at=found.at,
        release=found.release,
        processes=[_process(each) for each in found.processes],
        kafka=KafkaView(
            consumers=[
                ConsumerView(
                    service=each.service,
                    topic=each.topic,
                    state=each.state,
                    members=each.members,
                    waiting=each.waiting,
                )
                for each in found.kafka.groups
            ],
            obstacle=found.kafka.obstacle,
        ),
        runs={status: _backlog(each) for status, each in found.runs.items()},
        stuck_after_seconds=found.stuck_after_seconds,
        stuck=[_stuck(each) for each in found.stuck],
        not_all_looked_at=found.unseen,
        dead_letters=DeadLettersView(
            by_status={status: _backlog(each) for status, each in found.letters.items()},
            newest=[letter_head(each) for each in found.newest_letters],
        ),
        outbox={service: _backlog(each) for service, each in found.outbox.items()},
        databases=[_database(each) for each in found.databases],
        retention=RetentionView(
            files_days=retention.files_days,
            runs_days=retention.runs_days,
            dead_letters_days=retention.dead_letters_days,
            idempotency_keys_hours=retention.idempotency_keys_hours,
            oldest_ended_run_at=retention.oldest_ended_run_at,
            oldest_dead_letter_at=retention.oldest_dead_letter_at,
            leaving_organizations=retention.leaving,
        ),
    )


def _process(process: Process) -> ProcessView:
    told = process.told
    return ProcessView(
        service=told.service,
        instance=told.instance,
        version=told.version,
        started_at=told.started_at,
        seen_at=told.seen_at,
        alive=process.alive,
        clock_ahead_ms=told.clock_ahead_ms,
        rescues=told.rescues,
    )


def _backlog(backlog: Backlog) -> BacklogView:
    return BacklogView(count=backlog.count, oldest_at=backlog.oldest_at)


def _stuck(stuck: StuckRun) -> StuckRunView:
    holder = stuck.holder
    return StuckRunView(
        run_id=stuck.run.id,
        tenant_id=stuck.run.tenant_id,
        status=stuck.run.status,
        created_at=stuck.run.created_at,
        quiet_since=stuck.quiet_since,
        why=stuck.why,
        batches=dict(stuck.batches.by_state),
        announced_batches=stuck.batches.announced,
        attempts=max(stuck.batches.attempts, stuck.run.parse.attempts),
        holder=None
        if holder is None
        else HolderView(work=holder.work, owner=holder.owner, until=holder.until, alive=holder.alive),
        rescues={service: each.count for service, each in stuck.run.rescue.items()},
        last_error=None if stuck.last_error is None else letter_head(stuck.last_error),
    )


def _database(size: DatabaseSize) -> DatabaseView:
    return DatabaseView(
        name=size.name,
        data=size.data,
        stored=size.stored,
        indexes=size.indexes,
        disk_used=size.disk_used,
        disk_total=size.disk_total,
    )
