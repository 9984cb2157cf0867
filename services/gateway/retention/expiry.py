"""Removes what was kept long enough: files, ended runs with all that belongs to them, dead letters."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from libs.ledger import Ledger
from services.gateway.stores.dead_letters import DeadLetterStore

FILES_AT_A_TIME = 500
RUNS_AT_A_TIME = 200
LETTERS_AT_A_TIME = 5_000

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long something is kept: of a run, after it has ended."""

    files: timedelta
    runs: timedelta
    dead_letters: timedelta


class Expiry:
    """Sweeps, a bounded number of things at a time, the oldest first. Several gateways may sweep at once."""

    def __init__(self, ledger: Ledger, letters: DeadLetterStore, keeping: Keeping) -> None:
        self._ledger = ledger
        self._letters = letters
        self._keeping = keeping

    async def sweep(self) -> None:
        """Remove what is too old. Nothing that is under way is touched."""
        while await self._remove_some():
            pass  # As many as end in a day have to go in a day, whatever the time between two sweeps.

    async def _remove_some(self) -> bool:
        """Whether there may be more."""
        now = datetime.now(UTC)
        runs = await self._ledger.expiry.remove_runs(now - self._keeping.runs, RUNS_AT_A_TIME)
        files = await self._ledger.expiry.remove_files(now - self._keeping.files, FILES_AT_A_TIME)
        letters = await self._letters.remove_older(now - self._keeping.dead_letters, LETTERS_AT_A_TIME)
        if runs or files or letters:
            logger.info("retention.removed", runs=runs, files=files, dead_letters=letters)
        return runs >= RUNS_AT_A_TIME or files >= FILES_AT_A_TIME or letters >= LETTERS_AT_A_TIME
