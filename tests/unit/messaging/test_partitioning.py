"""Messages about batches go to the partitions in turn, all others by their hash."""

from collections import Counter
from uuid import UUID

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.events import BatchParsed, BatchReady, of_batch
from libs.messaging.partitioning import partition_of

TWELVE = range(12)
RUN = "7f1b9d1e5a3c4b2f8e6d0c1a2b3c4d5e"


@given(st.uuids(), st.integers(0, 500), st.integers(1, 40), st.integers(1, 24))
def test_batches_that_follow_each_other_are_shared_out_evenly(run: UUID, first: int, batches: int, count: int) -> None:
    partitions = range(count)
    keys = [of_batch(BatchReady, str(run), 1, seq)[0].encode() for seq in range(first, first + batches)]
    messages = Counter(partition_of(key, partitions, partitions) for key in keys)
    of_each = [messages[partition] for partition in partitions]
    assert max(of_each) - min(of_each) <= 1


def test_runs_begin_anywhere() -> None:
    begins = {partition_of(of_batch(BatchParsed, f"{RUN}{n}", 1, 0)[0].encode(), TWELVE, TWELVE) for n in range(200)}
    assert begins == set(TWELVE)


def test_the_order_in_which_partitions_are_listed_decides_nothing() -> None:
    key = f"{RUN}:5".encode()
    assert partition_of(key, TWELVE, TWELVE) == partition_of(key, TWELVE[::-1], [3])


@pytest.mark.parametrize(
    "key",
    ["tenant", RUN, f"{RUN}:", ":7", f"{RUN}:-1", f"{RUN}:1.5", f"{RUN}:²", f"{RUN}:٣", f"{RUN}:{'1' * 5_000}", ""],
)
def test_other_keys_go_where_other_clients_send_them(key: str) -> None:
    assert partition_of(key.encode(), TWELVE, TWELVE) == DefaultPartitioner()(key.encode(), TWELVE, TWELVE)


def test_a_message_without_a_key_goes_to_a_partition_that_has_a_leader() -> None:
    assert partition_of(None, TWELVE, [7]) == 7
