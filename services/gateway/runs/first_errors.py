"""The first errors of the rejected rows of runs, which are shown with every look at a run."""

from collections.abc import Sequence

from cachetools import LRUCache

from libs.contracts.rejections import RowError
from services.gateway.access.principal import Principal
from services.gateway.stores.rejected import RejectedStore

REMEMBERED_ERRORS = 20_000
"""Of all runs together; each has less than a KiB."""

Errors = Sequence[tuple[int, RowError]]


class FirstErrors:
    """Reads the first errors of a run, and remembers them as long as it rejects no further row.

    Rejected rows only become more, each in one transaction with the ledger that counts it, and the reasons for which
    their run has rejected them never change: with the same number of them the same ones are the first.

    Args:
        limit: most errors of a run.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: LRUCache[tuple[str, str], tuple[int, Errors]] = LRUCache(REMEMBERED_ERRORS, _size)

    async def of(self, principal: Principal, run_id: str, rejected: int | None) -> Errors:
        """Each with its row, in the order of the file.

        Args:
            principal: whose run it is.
            run_id: the run.
            rejected: how many rows it has rejected, by the ledger as it was read before; ``None`` where that is not
                known.
        """
        if rejected == 0:
            return []
        key = principal.tenant_id, run_id
        known = self._known.get(key)
        if known is not None and known[0] == rejected:
            return known[1]
        errors = await RejectedStore(principal).first_errors(run_id, self._limit)
        if rejected is not None and len(errors) < REMEMBERED_ERRORS:
            self._known[key] = rejected, errors
        return errors


def _size(remembered: tuple[int, Errors]) -> int:
    return 1 + len(remembered[1])
