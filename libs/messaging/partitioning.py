"""Which partition a message goes to: the batches of a run go to all of them in turn."""

from collections.abc import Sequence
from typing import Final

from aiokafka.partitioner import DefaultPartitioner

_by_hash: Final = DefaultPartitioner()
_DIGITS: Final = 10
"""Of a batch's number at most; a key that others have chosen may hold more than Python takes for a number."""


def partition_of(key: bytes | None, all_partitions: Sequence[int], available: Sequence[int]) -> int:
    """A partition as aiokafka asks for it.

    The consumers of a group hold every n-th partition each. A hash of ``run:seq`` gives one of two workers two thirds
    of the few batches of a run as often as not, and the other one has nothing to do meanwhile; so the hash is of the
    run, and its batches follow each other from there.

    Args:
        key: ``run:seq`` where the message is about a batch; every other key is hashed as other clients do.
        all_partitions: of the topic.
        available: those of them that have a leader.
    """
    run, _, seq = (key or b"").rpartition(b":")
    if not run or not seq.isdigit() or len(seq) > _DIGITS:
        return _by_hash(key, all_partitions, available)
    in_order = sorted(all_partitions)
    return in_order[(in_order.index(_by_hash(run, in_order, available)) + int(seq)) % len(in_order)]
