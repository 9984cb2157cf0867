"""Removes what was kept long enough: files, ended runs with all that belongs to them, dead letters."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from libs.ledger import Ledger
from services.gateway.stores.dead_letters import DeadLetterStore

FILES_PER_SWEEP = 500
RUNS_PER_SWEEP = 200
LETTERS_PER_SWEEP = 5_000

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long something is kept: of a run, after it has ended."""

    files: timedelta
    runs: timedelta
    dead_letters: timedelta


class Expiry:
    """Sweeps; each time a bounded number of things, the oldest first. Several gateways may sweep at once."""

    def __init__(self, ledger: Ledger, letters: DeadLetterStore, keeping: Keeping) -> None:
        self._ledger = ledger
        self._letters = letters
        self._keeping = keeping

    async def sweep(self) -> None:
        """Remove what is too old. Nothing that is under way is touched."""
        now = datetime.now(UTC)
        runs = await self._ledger.expiry.remove_runs(now - self._keeping.runs, RUNS_PER_SWEEP)
        files = await self._ledger.expiry.remove_files(now - self._keeping.files, FILES_PER_SWEEP)
        letters = await self._letters.remove_older(now - self._keeping.dead_letters, LETTERS_PER_SWEEP)
        if runs or files or letters:
            logger.info("retention.removed", runs=runs, files=files, dead_letters=letters)
