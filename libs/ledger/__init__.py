"""The ledger: runs and batches, moved by compare-and-set only.

Every change of a run's status is one transaction of a compare-and-set on ``{_id, status, version}``
and the outbox rows that tell of it. Completion is derived from the batches, never counted up,
by ``Ledger.maybe_advance``, which anyone may call any number of times.

What a run is for decides whether it is told, executed and purged, see ``libs.contracts.purposes``: a dry run goes as
far as ``validated``, without any event of its status, until ``Ledger.purge`` removes it.
"""

from libs.contracts.states import RunStatus
from libs.ledger.answers import Answers
from libs.ledger.batches import BatchLedger
from libs.ledger.bulk_corrections import BulkCorrections
from libs.ledger.changes import Changes
from libs.ledger.completion import Completion, Stage
from libs.ledger.connection import LedgerConnection, Relay
from libs.ledger.expiry import Expiry
from libs.ledger.handout import Handout, Shares
from libs.ledger.leases import Leases
from libs.ledger.parsing import NewBatch, ParseEnd, ParseLedger
from libs.ledger.previews import PreviewLedger
from libs.ledger.purge import Purge
from libs.ledger.record_events import RecordEvents
from libs.ledger.rescue import Rescue
from libs.ledger.retries import Retries, Submission
from libs.ledger.runs import MovedRun, RunLedger
from libs.ledger.stops import Stops
from libs.ledger.syncs import Syncs
from libs.ledger.totals import Totals, add_up
from libs.storage.client import Mongo, Session
from libs.storage.documents import RunDocument
from libs.telemetry.metrics import Metrics

__all__ = ["Ledger", "MovedRun", "NewBatch", "ParseEnd", "Shares", "Stage", "Submission", "Totals"]


class Ledger:
    """Runs, batches and their outbox, a part for each subject.

    Args:
        mongo: the databases.
        service: name of the service that makes the changes; its relays publish the outbox rows.
        relay: that of this process, to which rows are handed over after their commit; without it they wait for others.
        shares: how many batches may be announced at a time.
        metrics: where it is counted what runs do, if anywhere.
    """

    def __init__(
        self,
        mongo: Mongo,
        service: str,
        relay: Relay | None = None,
        shares: Shares | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._connection = LedgerConnection(mongo, service, relay, metrics)
        self.handout = Handout(self._connection, shares or Shares())
        self.answers = Answers(self._connection)
        self.runs = RunLedger(self._connection, self.handout)
        self.leases = Leases(self._connection)
        self.parsing = ParseLedger(self._connection, self.runs, self.leases, self.handout)
        self.retries = Retries(self._connection, self.parsing)
        self.batches = BatchLedger(self._connection)
        self.record_events = RecordEvents(self._connection)
        self.stops = Stops(self._connection, self.runs)
        self.rescue = Rescue(self._connection, self.stops)
        self.previews = PreviewLedger(self._connection, self.leases)
        self.bulk_corrections = BulkCorrections(self._connection, self.leases)
        self.purge = Purge(self._connection)
        self.changes = Changes(self._connection)
        self.expiry = Expiry(self._connection)
        self.syncs = Syncs(self._connection, self.leases)
        self._completion = Completion(self._connection, self.runs, self.stops)

    async def maybe_advance(self, run_id: str) -> Stage:
        """Move the run on if the ledger proves that its phase is over. Idempotent; anyone may call it."""
        return await self._completion.maybe_advance(run_id)

    async def advance_with_only_batch(self, session: Session, run: RunDocument) -> MovedRun | None:
        """Move a run on in the transaction that has just moved its only batch; ``None`` where it has others, or where
        it takes more than that. The caller goes on by ``advanced`` once the transaction is committed."""
        return await self._completion.advance_with_only_batch(session, run)

    async def advanced(self, run: RunDocument, moved: MovedRun) -> None:
        """The transaction of ``advance_with_only_batch`` is committed: see what is next of ``run``."""
        await self.runs.committed(moved)
        if moved.status is RunStatus.VALIDATED and run.goes_on:
            await self.runs.request_execution(RunDocument.read(moved.document))

    async def totals(self, run_id: str) -> Totals:
        """The batches of a run, added up by the server."""
        return await add_up(self._connection, run_id)

    async def stop(self, run_id: str, status: RunStatus, code: str, message: str) -> None:
        """Stop a run in both steps; also finishes what another caller requested."""
        await self.stops.stop(run_id, status, code, message)
