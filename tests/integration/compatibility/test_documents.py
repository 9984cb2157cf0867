"""Documents of release 0.1, read by the models of today."""

from collections import Counter
from typing import Any

import pytest
from cryptography.fernet import Fernet

from libs.batches.payloads import BatchPayloads, PayloadKind
from libs.batches.tables import decode_table
from libs.contracts.plan import PARSER_VERSION
from libs.contracts.purposes import RunPurpose
from libs.contracts.states import BatchState, RunStatus
from libs.contracts.templates import (
    Compare,
    DateOrder,
    DecimalStyle,
    FieldType,
    ImportMode,
    InvalidRows,
    NormalizeDate,
    NormalizePhone,
    RequiredIf,
    Rule,
    Transform,
    Unique,
)
from libs.storage.client import Mongo
from libs.storage.documents import (
    ApiKey,
    BatchDocument,
    DeadLetter,
    Organization,
    OutboxEntry,
    RejectedRecord,
    RunDocument,
    TemplateDocument,
    UndoEntry,
    WebhookDelivery,
    WebhookEndpoint,
)
from services.webhooks.domain.delivery import Delivery, DeliveryState
from tests.compatibility.inputs import BATCH_ROWS, EVERYTHING, FORMATS
from tests.compatibility.snapshots import RELEASE_0_1, Snapshot, load_secrets

pytestmark = pytest.mark.servers

CHECKED, PARSED, VALIDATED, WRITTEN = (
    BatchState.CHECKED, BatchState.PARSED, BatchState.VALIDATED, BatchState.WRITTEN,
)  # fmt: skip


def left(name: str) -> Snapshot:
    return Snapshot.load(RELEASE_0_1 / f"{name}.json")


RUNS: dict[str, tuple[RunStatus, list[BatchState]]] = {
    "run_pending": (RunStatus.PENDING, []),
    "run_begun": (RunStatus.VALIDATING, []),
    **{f"run_parsing_{name}": (RunStatus.VALIDATING, [PARSED]) for name in FORMATS},
    "run_parsing_json": (RunStatus.VALIDATING, [PARSED, PARSED]),
    "run_parsed": (RunStatus.VALIDATING, [PARSED, PARSED]),
    "run_dry_run": (RunStatus.VALIDATING, [PARSED, PARSED]),
    "run_checked": (RunStatus.VALIDATING, [CHECKED, CHECKED]),
    "run_settling": (RunStatus.VALIDATING, [VALIDATED, CHECKED]),
    "run_validated": (RunStatus.VALIDATED, [VALIDATED, VALIDATED]),
    "run_validated_everything": (RunStatus.VALIDATED, [VALIDATED]),
    "run_executing": (RunStatus.EXECUTING, [VALIDATED, WRITTEN]),
    "run_stopping": (RunStatus.EXECUTING, [VALIDATED, WRITTEN]),
    "run_completed": (RunStatus.COMPLETED, [WRITTEN, WRITTEN]),
    "run_cancelled": (RunStatus.CANCELLED, [WRITTEN, WRITTEN]),
    "run_failed_for_its_rows": (RunStatus.FAILED, [BatchState.FAILED, BatchState.FAILED]),
    "run_failed_as_a_whole": (RunStatus.FAILED, []),
}


def test_no_run_is_forgotten_here() -> None:
    assert {file.stem for file in RELEASE_0_1.glob("run_*.json")} == RUNS.keys()


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_where_it_was(name: str) -> None:
    status, states = RUNS[name]
    stored = left(name)
    run = RunDocument.read(stored.one("runs"))
    assert run.status is status
    assert run.purpose is (RunPurpose.DRY_RUN if name == "run_dry_run" else RunPurpose.IMPORT)
    assert run.dry_run is (name == "run_dry_run")
    assert (run.vocabulary, run.wording) == ("engine", None)
    assert (run.plan is None) is (name in {"run_pending", "run_begun", "run_failed_as_a_whole"})
    assert (run.finished_at is not None) is (status.value in {"completed", "failed", "cancelled"})
    assert [change.status for change in run.history][-1:] == [status]
    assert run.version == run.history[-1].version
    batches = [BatchDocument.read(batch) for batch in stored.state.get("batches", [])]
    assert [batch.state for batch in sorted(batches, key=lambda batch: batch.seq)] in (states, states[::-1])
    assert all(batch.run_id == run.id and batch.rows == batch.row_to - batch.row_from + 1 for batch in batches)
    for batch in batches:
        if batch.state in {CHECKED, VALIDATED, WRITTEN}:
            assert batch.result.ok + batch.result.rejected + batch.result.duplicate_keys == batch.rows


def test_leases_progress_and_stops_are_read() -> None:
    parsing = RunDocument.read(left("run_parsing_csv").one("runs"))
    assert (parsing.parse.closed, parsing.parse.batches, parsing.parse.rows) == (False, 1, BATCH_ROWS)
    assert parsing.parse.owner == "parser-1"
    assert parsing.parse.lease_until is not None
    checked = RunDocument.read(left("run_checked").one("runs"))
    assert checked.barrier is not None
    assert checked.barrier.owner == "validator-1"
    stopping = RunDocument.read(left("run_stopping").one("runs"))
    assert stopping.stop is not None
    assert (stopping.stop.status, stopping.stop.code, stopping.epoch) == (RunStatus.CANCELLED, "CANCELLED", 1)
    failed = RunDocument.read(left("run_failed_as_a_whole").one("runs"))
    assert (failed.failure or {})["code"] == "MISSING_COLUMNS"


@pytest.mark.parametrize("name", FORMATS)
def test_a_frozen_plan_says_the_same(name: str) -> None:
    plan = RunDocument.read(left(f"run_parsing_{name}").one("runs")).plan
    assert plan is not None
    assert plan.file_type == {"xlsx": "excel"}.get(name, name)
    assert plan.parser_version == PARSER_VERSION
    assert plan.columns[:3] == ("sku", "amount", "day")
    assert plan.mapping == {"sku": 0, "amount": 1, "day": 2}
    assert {match.method for match in plan.matches.values()} == {"exact"}
    assert plan.batch_rows == BATCH_ROWS
    assert plan.typed_cells is (name == "xlsx")
    assert (plan.widths != ()) is (name == "fixed_width")


def test_counts_are_read() -> None:
    counts = RunDocument.read(left("run_completed").one("runs")).counts
    assert counts is not None
    assert (counts.rows, counts.written, counts.created, counts.updated, counts.rejected) == (10, 6, 4, 2, 2)
    assert counts.skip_reasons == {"DUPLICATE_UPSERT_KEY": 1, "UNCHANGED": 1}


def test_every_rule_and_transform_is_read() -> None:
    run = RunDocument.read(left("run_validated_everything").one("runs"))
    template = run.template
    rules: list[Rule] = [rule for field in template.fields for rule in field.rules]
    transforms: list[Transform] = [transform for field in template.fields for transform in field.transforms]
    assert {rule.type for rule in rules} == {
        "required", "min_length", "max_length", "min", "max", "regex", "enum", "unique", "required_if", "compare",
    }  # fmt: skip
    assert {transform.type for transform in transforms} == {
        "trim", "upper", "lower", "capitalize", "remove_special_chars", "normalize_phone", "normalize_date", "default",
        "replace", "constant", "concat",
    }  # fmt: skip
    assert Unique(fields=("region",), against_target=True, message="taken") in rules
    assert RequiredIf(field="mail", values=("call@example.com",)) in rules
    assert Compare(operator="ge", field="day") in rules
    assert NormalizePhone(region="AT") in transforms
    assert NormalizeDate(format="YYYY-MM-DD") in transforms
    assert {field.type for field in template.fields} == set(FieldType)
    assert (template.mode, template.upsert_key, template.invalid_rows) == (ImportMode.UPSERT, "sku", InvalidRows.KEEP)
    assert template.default_values == EVERYTHING["default_values"]
    assert template.required_columns == ("SKU", "Region")
    assert (template.default_date_order, template.default_decimal_style) == (DateOrder.MDY, DecimalStyle.COMMA)
    assert (template.source.delimiter, template.source.skip_rows, template.default_region) == (";", 1, "DE")
    assert template.matches_by_key


# --- payloads, rejected rows, before-images -----------------------------------------------------------


async def payload(mongo: Mongo, name: str, kind: PayloadKind, seq: int = 0) -> dict[str, list[Any]]:
    """The columns of a stored table."""
    stored = left(name)
    await mongo.state["batch_payloads"].insert_many(stored.state["batch_payloads"])
    loaded = await BatchPayloads(mongo).load(f"{stored.one('runs')['_id']}:0:{seq:08d}", kind)
    return decode_table(loaded.data).to_pydict()


async def test_parsed_rows_are_read(mongo: Mongo) -> None:
    rows = await payload(mongo, "run_parsed", PayloadKind.PARSED)
    assert rows["_row"] == [1, 2, 3, 4, 5]
    assert rows["c0"] == ["S1", "S2", "S3", "S4", "S5"]
    assert rows["c1"][2] == "much"
    assert rows["c3"][1] in {None, ""}


async def test_the_parsers_issues_are_read(mongo: Mongo) -> None:
    stored = left("run_parsed")
    await mongo.state["batch_payloads"].insert_many(stored.state["batch_payloads"])
    second = await BatchPayloads(mongo).load(f"{stored.one('runs')['_id']}:0:00000001", PayloadKind.PARSED)
    (issue,) = second.issues
    assert (issue.row, issue.code, issue.cells[-1]) == (8, "EXTRA_CELLS", "one cell too many")
    assert decode_table(second.data).to_pydict()["_row"] == [6, 7, 9, 10]


async def test_checked_rows_and_their_keys_are_read(mongo: Mongo) -> None:
    valid = await payload(mongo, "run_checked", PayloadKind.VALID)
    assert (valid["_row"], valid["sku"]) == ([1, 2, 4, 5], ["S1", "S2", "S4", "S5"])
    assert valid["amount"] == [1.5, 2.5, 4.5, 5.5]
    assert [day.date().isoformat() for day in valid["day"]][:2] == ["2024-02-29", "2024-03-01"]
    await mongo.state["batch_payloads"].delete_many({})
    keys = await payload(mongo, "run_checked", PayloadKind.KEYS)
    assert keys["_row"] == [1, 2, 4, 5]


async def test_what_the_target_was_asked_is_read(mongo: Mongo) -> None:
    stored = left("run_validated_everything")
    await mongo.state["batch_payloads"].insert_many(stored.state["batch_payloads"])
    keys = await BatchPayloads(mongo).load(f"{stored.one('runs')['_id']}:0:00000000", PayloadKind.KEYS)
    assert keys.rows_in_target is not None
    assert set(keys.rows_in_target.values()) == {b""}


def test_rejected_rows_are_read() -> None:
    first, second = map(RejectedRecord.read, left("run_completed").state["rejected_records"])
    assert (first.row, first.cells[:2], first.state) == (3, ["S3", "much"], "open")
    assert [(error.field, error.column, error.code, error.value) for error in first.errors] == [
        ("amount", "amount", "NOT_A_NUMBER", "much")
    ]
    assert (second.row, second.errors[0].code) == (8, "EXTRA_CELLS")


def test_before_images_are_read() -> None:
    images = left("run_completed").state["undo"]
    assert len(images) == 2
    for image in images:
        assert UndoEntry.read(image).run_id == left("run_completed").one("runs")["_id"]
        assert image["restore"]["amount"] == 0.5
        assert image["resource"] == "completed"


# --- the rest -----------------------------------------------------------------------------------------


def test_organizations_keys_and_receivers_are_read() -> None:
    stored = left("configuration")
    organization = Organization.read(stored.one("organizations"))
    assert organization.name == "local"
    live, revoked = map(ApiKey.read, stored.state["api_keys"])
    assert (live.tenant_id, live.revoked_at, live.scopes) == (organization.id, None, None)
    assert revoked.revoked_at is not None
    receivers = [WebhookEndpoint.read(endpoint) for endpoint in stored.state["webhook_endpoints"]]
    assert [receiver.enabled for receiver in receivers] == [True, True, False]
    assert receivers[2].disabled_reason == "the receiver answered 410 Gone"
    secrets = [Fernet(load_secrets(RELEASE_0_1)["secret_key"]).decrypt(each.encrypted_secret) for each in receivers]
    assert all(secret.startswith(b"whsec_") for secret in secrets)


def test_templates_are_read() -> None:
    templates = [TemplateDocument.read(template) for template in left("configuration").state["templates"]]
    by_name = {template.template.name: template for template in templates}
    assert by_name["replaced"].version == 2
    assert by_name["deleted"].deleted_at is not None
    sync = by_name["in the model only: sync"].template
    assert (sync.mode, sync.scope_filter) == (
        ImportMode.SYNC,
        {"region": "north", "rank": 1, "share": 0.5, "open": True, "none": None},
    )
    assert (sync.source.sheet, sync.webhook_data_sample_size) == ("Data", 5)
    deleting = by_name["in the model only: deleting rows"].template
    assert (deleting.delete_column, deleting.auto_execute, deleting.source.width_unit) == ("gone", True, "bytes")
    assert [(column.name, column.width) for column in deleting.source.column_widths] == [("SKU", 8), (None, 4)]
    assert by_name["in the model only: update"].template.mode is ImportMode.UPDATE


def test_deliveries_are_read_with_every_attempt() -> None:
    stored = [
        *left("webhooks_settled").state["webhook_deliveries"],
        *left("webhooks_under_way").state["webhook_deliveries"],
    ]
    deliveries = [Delivery.model_validate({**each, "id": each["_id"]}) for each in stored]
    assert [WebhookDelivery.read(each).id for each in stored] == [delivery.id for delivery in deliveries]
    states = Counter(delivery.state for delivery in deliveries)
    assert states.keys() == set(DeliveryState)
    for delivery in deliveries:
        assert b'"import.' in delivery.body
        assert [attempt.number for attempt in delivery.attempts] == list(range(1, len(delivery.attempts) + 1))
        if delivery.state is DeliveryState.FAILED:
            assert [attempt.status_code for attempt in delivery.attempts] == [500, 500, 500]
        if delivery.state is DeliveryState.PENDING:
            assert delivery.next_attempt_at is not None


def test_dead_letters_and_the_outbox_are_read() -> None:
    letters = [DeadLetter.read(letter) for letter in left("dead_letters").state["dead_letters"]]
    assert {letter.code for letter in letters} == {"UNDECODABLE_MESSAGE"}
    assert {letter.value for letter in letters} == {
        b"not json", b"\xff\xfe\x00", None, b'{"event_id": "1", "run_id": 5}',
    }  # fmt: skip
    assert {"name": "trace", "value": b"1"} in [header for letter in letters for header in letter.headers]
    entry = OutboxEntry.read(left("run_begun").one("outbox"))
    assert (entry.service, entry.topic, entry.lease_until) == ("parser", "imports.run-events.v1", None)
