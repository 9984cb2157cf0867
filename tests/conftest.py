"""Real servers and a whole stack, started once for all tests that ask for them."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from deploy.local.servers import Servers, start_servers
from deploy.local.stack import Stack, running
from libs.process import heap
from libs.process.loop_watch import Block, LoopWatch
from tests import loop_blocks, query_plans
from tests.client import GatewayClient
from tests.oracle import Oracle
from tests.receiver import Receiver
from tests.sshd import sshd

# An example that takes long on a busy machine proves nothing.
settings.register_profile("rowdock", deadline=None)
settings.load_profile("rowdock")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """MongoDB and a broker; what lives in them is the test's own business."""
    with start_servers(tmp_path_factory.mktemp("servers")) as started:
        yield started


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Every service, two of those that share most of the work, impatient enough for tests.

    ``ROWDOCK_TEST_STACK`` names the directory of a running stack to use instead.
    """
    if running_already := os.environ.get("ROWDOCK_TEST_STACK"):
        yield Stack.load(Path(running_already))
        return
    directory = tmp_path_factory.mktemp("stack")
    patience = {
        "ROWDOCK_RESCUE_AFTER_SECONDS": "4",
        "ROWDOCK_PARSE_LEASE_SECONDS": "6",
        "ROWDOCK_STALL_SECONDS": "20",
        "ROWDOCK_ORPHAN_AFTER_SECONDS": "20",
        "ROWDOCK_RUN_WINDOW": "2",
        "ROWDOCK_LOOP_WATCH_MS": str(loop_blocks.LIMIT_MS),
        "ROWDOCK_SOURCES_DIRECTORY": str(_folder(directory / "watched")),
        "ROWDOCK_SOURCE_ALLOWED_NETWORKS": "127.0.0.0/8",
    }
    services = ("gateway", "parser", "validator", "writer", "webhooks", "requests")
    failpoints = _folder(directory / "failpoints")
    environment = {name: {**patience, "FAILPOINT_DIRECTORY": str(failpoints)} for name in services}
    scans: list[str] = []
    with (
        running(directory, scale={"validator": 2, "writer": 2, "webhooks": 2}, environment=environment) as started,
        query_plans.watched(started, scans),
    ):
        yield started
    assert not scans, "whole collections were read:\n" + "\n".join(scans)
    blocks = loop_blocks.logged(directory / "logs")
    assert not blocks, "event loops of services were blocked:\n" + "\n".join(blocks)


_WITHOUT_SSHD = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs OpenSSH's server where there is none: no package of Python brings it. What needs the stack
    comes last: it has something to do all the time, and would make every other test slower."""
    items.sort(key=lambda item: isinstance(item, pytest.Function) and "stack" in item.fixturenames)
    if sshd() is None and (needing := [item for item in items if item.get_closest_marker("sshd")]):
        items[:] = [item for item in items if not item.get_closest_marker("sshd")]
        config.hook.pytest_deselected(items=needing)
        config.stash[_WITHOUT_SSHD] = len(needing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say so."""
    if left_out := config.stash.get(_WITHOUT_SSHD, 0):
        told = (
            f"{left_out} tests with OpenSSH's sshd were left out: install it (Debian: apt-get install openssh-server)"
        )
        terminalreporter.write_line(told, yellow=True)


def pytest_collection_finish() -> None:
    """Keep the tests out of garbage collections: with thousands of them, one stops a loop for half a second."""
    heap.settle()


@pytest.fixture(scope="session", autouse=True)
async def _loop_stays_free() -> AsyncIterator[None]:
    """Fails the session where code of Rowdock blocked the event loop that tests run it in."""
    blocks: list[Block] = []
    watch = LoopWatch(loop_blocks.LIMIT_MS, blocks.append)
    watch.start()
    yield
    watch.stop()
    found = loop_blocks.by_our_code(blocks)
    assert not found, "the event loop was blocked:\n" + "\n".join(found)


@pytest.fixture
def gateway(stack: Stack) -> Iterator[GatewayClient]:
    """A client with the stack's API key."""
    with GatewayClient(stack.gateway, stack.api_key) as client:
        yield client


@pytest.fixture
def oracle(stack: Stack) -> Iterator[Oracle]:
    """Looks past the services at what is in the databases."""
    judge = Oracle(stack)
    yield judge
    judge.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks."""
    with Receiver() as listening:
        yield listening


@pytest.fixture
def resource(request: pytest.FixtureRequest) -> str:
    """A target collection of the test's own."""
    name = "".join(letter if letter.isalnum() else "_" for letter in request.node.name.lower())
    return f"{name[:48].strip('_')}_{os.urandom(4).hex()}"


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
