"""What tests count as a loop that was blocked by code of Rowdock."""

import pytest

from deploy.local.supervision import CHECKOUT
from libs.process.loop_watch import COLLECTOR, Block
from tests.loop_blocks import AGAIN, LIMIT_MS, LONG_MS, by_our_code

OURS = f"{CHECKOUT}/services/gateway/app.py:7 answer"
TESTS = f"{CHECKOUT}/tests/client.py:7 ask"
LIBRARY = "/lib/python/site-packages/polars/frame.py:7 collect"


@pytest.mark.parametrize(
    ("frames", "milliseconds", "times", "counts"),
    [
        ((OURS,), LIMIT_MS, AGAIN, True),
        ((TESTS, OURS, LIBRARY), LIMIT_MS, AGAIN, True),
        ((OURS,), LIMIT_MS, AGAIN - 1, False),
        ((OURS,), LONG_MS, 1, True),
        ((TESTS, LIBRARY), LONG_MS, AGAIN, False),
        ((COLLECTOR,), LONG_MS, AGAIN, False),
    ],
)
def test_which_blocks_count(frames: tuple[str, ...], milliseconds: float, times: int, counts: bool) -> None:
    found = by_our_code([Block(milliseconds, frames)] * times)
    assert [line.partition(",")[0] for line in found] == ["services/gateway/app.py:answer"] * counts
