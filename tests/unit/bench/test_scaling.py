"""Which parts of scaling are asked for."""

from argparse import ArgumentTypeError

import pytest

from bench.scaling import PARTS, Scaling


def test_parts_have_their_own_sizes_unless_others_are_named() -> None:
    assert Scaling.read("rows=10,200 replicas").parts == {"rows": [10, 200], "replicas": PARTS["replicas"]}


@pytest.mark.parametrize("text", ["columns", "rows=many", "rows=1,,2"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="parts are rows, runs, replicas"):
        Scaling.read(text)
