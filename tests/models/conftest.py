"""A world of its own for each test, in the stack that all tests share."""

from collections.abc import Iterator

import pytest

from deploy.local.stack import Stack
from tests.models.noise import Noise
from tests.models.world import World
from tests.oracle import Oracle


@pytest.fixture(scope="module")
def noise(stack: Stack) -> Iterator[Noise]:
    """Sends messages again."""
    sender = Noise(stack.kafka)
    yield sender
    sender.close()


@pytest.fixture
def world(stack: Stack, oracle: Oracle, noise: Noise) -> Iterator[World]:
    """An organization that has nothing yet."""
    opened = World(stack, oracle, noise)
    yield opened
    opened.close()
