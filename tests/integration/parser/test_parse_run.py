"""Runs that the parser does not read to their end, on a real server."""

from collections.abc import AsyncIterator

import pytest

from libs.contracts.states import RunStatus
from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.storage.documents import RunDocument
from libs.storage.files import FileStore
from libs.telemetry.metrics import Metrics
from services.parser.settings import ParserSettings
from services.parser.use_cases import ParseRun
from tests.integration.ledger.runs import LEASE, current, new_run, refill, submitted

pytestmark = pytest.mark.servers
ME = "parser-1"


@pytest.fixture
def ledger(mongo: Mongo) -> Ledger:
    return Ledger(mongo, "parser")


def parser(mongo: Mongo, ledger: Ledger) -> ParseRun:
    """A parser that publishes nothing."""
    metrics = Metrics("parser")
    return ParseRun(ledger, FileStore(mongo), refill(ledger), metrics, ParserSettings(), ME)


async def test_a_run_whose_file_is_gone_fails(mongo: Mongo, ledger: Ledger) -> None:
    run = await submitted(ledger)
    await parser(mongo, ledger)(run.id)
    failed = await current(ledger, run)
    assert (failed.status, (failed.failure or {}).get("code")) == (RunStatus.FAILED, "STORED_FILE_DAMAGED")


async def test_a_run_that_another_parser_reads_is_left_to_it(mongo: Mongo, ledger: Ledger) -> None:
    run = await submitted(ledger)
    assert await Ledger(mongo, "parser").parsing.begin(run.id, "parser-2", LEASE) is not None
    await parser(mongo, ledger)(run.id)
    left = await current(ledger, run)
    assert (left.status, left.parse.attempts) == (RunStatus.PENDING, 1)


@pytest.mark.parametrize(
    ("content", "looks_like"),
    [
        (b'[{"email": "a@b.example", "name": "A"}]', "begins like a JSON document: if it is one, set the template's"),
        (b'<?xml version="1.0"?>\n<rows><row><email>a@b.example</email></row></rows>', "begins like an XML document"),
        (b"code,price\n1,2\n", None),
    ],
)
async def test_a_file_of_another_format_is_refused_with_what_it_looks_like(
    mongo: Mongo, ledger: Ledger, content: bytes, looks_like: str | None
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield content

    stored = await FileStore(mongo).store("rows", body(), tenant_id="tenant", max_bytes=1_000)
    run = new_run(source={"file_type": "csv"}).model_copy(update={"file": stored})
    await ledger.runs.submit(run)
    await parser(mongo, ledger)(run.id)
    failure = (await current(ledger, run)).failure or {}
    assert failure.get("code") == "MISSING_COLUMNS", failure
    assert "the file has no column" in failure["message"]
    assert ("begins like" in failure["message"]) == (looks_like is not None)
    assert (looks_like or "") in failure["message"]


async def test_a_run_that_cannot_be_read_fails_with_its_reason(mongo: Mongo, ledger: Ledger) -> None:
    run: RunDocument = await submitted(ledger)
    newer = {"$set": {"template.fields.0.rules": [{"type": "palindrome"}]}}
    await mongo.state["runs"].update_one({"_id": run.id}, newer)
    await parser(mongo, ledger)(run.id)
    failed = await mongo.state["runs"].find_one({"_id": run.id})
    assert failed is not None
    assert (failed["status"], failed["failure"]["code"]) == ("failed", "UNREADABLE_DOCUMENT")
