"""Imports that are asked for on Kafka: who may, what is refused, and that each request makes one run."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from libs.contracts.errors import PermanentError, TransientError
from libs.contracts.requests import RequestAccepted, RequestRejected
from libs.ledger import Ledger
from libs.messaging.receiving import Incoming
from libs.process.shares import Shares, Turns
from libs.storage.client import Mongo
from libs.storage.files import FileStore
from libs.storage.settings import MongoSettings
from libs.telemetry import failpoints
from libs.telemetry.metrics import Metrics
from services.gateway.access.callers import Callers
from services.gateway.access.plans import PlanRates
from services.gateway.access.principal import Principal
from services.gateway.access.producers import Producers, WantedProducer
from services.gateway.access.reach import Reach
from services.gateway.errors import InvalidInputError
from services.gateway.requests.authorization import Askers
from services.gateway.requests.settings import RequestSettings
from services.gateway.requests.use_cases import TakeRequest
from services.gateway.settings import GatewaySettings
from services.gateway.stores.organizations import OrganizationStore
from services.gateway.stores.usage import UsageStore
from services.gateway.templates.borrowing import Borrowing
from services.gateway.templates.unique_keys import KeyRegistrar
from services.gateway.uploads.quotas import QuotaKeeper, RunQuotas
from services.gateway.uploads.uploads import Uploads
from tests.integration.gateway.conftest import SECRET_KEY, Organization
from tests.integration.gateway.families import NewOrganization, family
from tests.integration.gateway.steps import CSV, create_importer, create_template, upload
from tests.integration.gateway.test_admin import run_admin
from tests.kafka_requests import encoded, public_pem, request, signed

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("app")]

Answer = RequestAccepted | RequestRejected


@dataclass
class Door:
    """The service behind its consumer."""

    take: TakeRequest
    mongo: Mongo
    metrics: Metrics
    offset: int = 0

    async def send(self, value: bytes, headers: list[tuple[str, bytes]] | None = None) -> Incoming:
        self.offset += 1
        position = ("imports.requested.v1", 0, self.offset, id(self))
        message = Incoming(position, value, {name: text.decode() for name, text in headers or []})
        await self.take(message)
        return message

    def counted(self, name: str, **labels: str) -> float:
        """What was counted since it is open."""
        return self.metrics.registry.get_sample_value(f"rowdock_{name}_total", labels) or 0

    async def answers(self, tenant_id: str) -> list[Answer]:
        """What the outbox holds for the organization, of answers."""
        found: list[Answer] = []
        async for row in self.mongo.state["outbox"].find({"topic": "imports.run-events.v1"}).sort("created_at"):
            told = json.loads(row["value"])
            kinds = {"request-accepted": RequestAccepted, "request-rejected": RequestRejected}
            if told["tenant_id"] == tenant_id and told["kind"] in kinds:
                found.append(kinds[told["kind"]].model_validate_json(row["value"]))
        return found


@pytest.fixture
def open_door(mongo: Mongo, ledger: Ledger) -> Callable[..., Door]:
    def made(**changes: Any) -> Door:  # noqa: ANN401 - those of RequestSettings
        usual: dict[str, Any] = {"secret_key": SecretStr(SECRET_KEY), "rate_limits": "free=0/0"}
        of_gateway = {name: value for name, value in changes.items() if name in GatewaySettings.model_fields}
        settings = GatewaySettings(**{**usual, **of_gateway})
        limits = RequestSettings(**{name: changes[name] for name in changes.keys() - of_gateway.keys()})
        files, reach = FileStore(mongo), Reach(mongo)
        quotas = RunQuotas(settings.max_active_runs, settings.max_queued_bytes, settings.max_stored_bytes)
        uploads = Uploads(
            files,
            reach,
            ledger,
            Borrowing(mongo, KeyRegistrar(mongo, 32, 20), 1_000),
            Turns(Shares(8), 30, 100),
            QuotaKeeper(UsageStore(mongo), quotas),
            settings.large_file_bytes,
        )
        askers = Askers(limits.requests_trust, Producers(), reach, OrganizationStore(mongo))
        callers = Callers(mongo, PlanRates(mongo, settings.rate_limits))
        metrics = Metrics("requests")
        return Door(
            TakeRequest(askers, reach, callers, uploads, files, ledger.answers, metrics, limits), mongo, metrics
        )

    return made


@dataclass
class Producer:
    """A registered producer with its private key."""

    tenant_id: str
    id: str
    key: Ed25519PrivateKey = field(repr=False)

    def message(self, asked: dict[str, Any], **claims: object) -> tuple[bytes, list[tuple[str, bytes]]]:
        value = encoded(asked)
        return value, signed(value, self.key, self.id, asked["tenant_id"], asked["request_id"], **claims)


async def registered(organization: Organization, **changes: Any) -> Producer:  # noqa: ANN401 - of WantedProducer
    key = Ed25519PrivateKey.generate()
    wanted = replace(WantedProducer("billing", public_pem(key)), **changes)
    made = await Producers().add(Principal(organization.id, "test", ""), wanted)
    return Producer(organization.id, made.id, key)


async def test_a_request_of_rows_makes_one_run(
    open_door: Callable[..., Door], acme: Organization, ledger: Ledger, mongo: Mongo
) -> None:
    door, producer = open_door(), await registered(acme)
    template = await create_template(acme.http, file_type="csv", delimiter=";")
    asked = request(acme.id, template_id=template["id"], metadata={"a": 1}, external_user_id="u", file_name="x.json")
    asked["rows"] = [{"sku": "A1", "price": 1.5}]
    value, headers = producer.message(asked)
    exact = value.replace(b"1.5}", b"1.50}")
    headers = signed(exact, producer.key, producer.id, acme.id, asked["request_id"])
    await door.send(exact, headers)
    [accepted] = await door.answers(acme.id)
    assert isinstance(accepted, RequestAccepted)
    run = await ledger.runs.get(accepted.run_id)
    assert run is not None
    assert (run.request_id, run.goes_on, run.metadata, run.external_user_id) == (
        asked["request_id"], True, '{"a": 1}', "u",
    )  # fmt: skip
    assert run.template.source.file_type == "json"
    stored = b"".join([chunk async for chunk in FileStore(mongo).chunks(run.file)])
    assert stored == b'[{"sku": "A1", "price": 1.50}]', "numbers stay as they were written"
    assert run.started_by is not None
    assert run.started_by.subject == "producer:billing"

    await door.send(exact, headers)
    await door.send(*producer.message({**asked, "rows": [{"sku": "other"}]}))
    answers = await door.answers(acme.id)
    assert [answer.kind for answer in answers] == ["request-accepted", "request-rejected"]
    assert isinstance(answers[1], RequestRejected)
    assert answers[1].problems[0].code == "REQUEST_ID_REUSED"
    assert await mongo.state["runs"].count_documents({"tenant_id": acme.id}) == 1


async def test_templates_by_key_and_stored_files(
    open_door: Callable[..., Door], acme: Organization, mongo: Mongo, ledger: Ledger
) -> None:
    door, producer = open_door(), await registered(acme)
    await create_importer(acme.http)
    importer = await mongo.state["templates"].find_one({"tenant_id": acme.id})
    assert importer is not None
    await door.send(*producer.message(request(acme.id, template_key=importer["key"])))
    template = await create_template(acme.http)
    earlier = (await upload(acme.http, template["id"])).json()["id"]
    wanted = {"template_id": template["id"], "rows": None, "file_id": earlier, "auto_execute": False}
    await door.send(*producer.message(request(acme.id, **wanted)))
    by_key, by_file = await door.answers(acme.id)
    assert isinstance(by_key, RequestAccepted)
    assert by_key.template_id == importer["_id"]
    assert isinstance(by_file, RequestAccepted)
    run = await ledger.runs.get(by_file.run_id)
    assert run is not None
    assert (run.duplicate_of, run.file.name, run.file.size, run.goes_on) == (earlier, "p.csv", len(CSV), False)


async def test_everything_that_is_wrong_is_told_at_once(open_door: Callable[..., Door], acme: Organization) -> None:
    door, producer = open_door(request_max_rows=2), await registered(acme)
    await door.send(
        *producer.message(request(acme.id, template_id=5, rows=[1, {}, {}], mapping={"a": 1}, nonsense=True))
    )
    await door.send(*producer.message(request(acme.id, template_id="x" * 24, rows=None, file_id="0" * 24)))
    await door.send(*producer.message(request(acme.id, schema_version=2)))
    template = await create_template(acme.http)
    await door.send(*producer.message(request(acme.id, template_id=template["id"], mapping={"a": "no", "b": "sku"})))
    shape, names, version, mapping = await door.answers(acme.id)
    assert isinstance(shape, RequestRejected)
    found = {problem.location: problem.code for problem in shape.problems}
    assert found == {
        "template_id": "INVALID", "rows[0]": "INVALID", "mapping.a": "INVALID", "nonsense": "UNKNOWN_FIELD",
        "rows": "TOO_MANY_ROWS",
    }  # fmt: skip
    assert isinstance(names, RequestRejected)
    assert [problem.code for problem in names.problems] == ["TEMPLATE_NOT_FOUND", "FILE_NOT_FOUND"]
    assert isinstance(version, RequestRejected)
    assert version.problems[0].code == "UNSUPPORTED_SCHEMA_VERSION"
    assert isinstance(mapping, RequestRejected)
    assert [problem.location for problem in mapping.problems] == ["mapping['a']"]


async def test_what_is_no_request_is_answered_where_its_token_says_whose_it_is(
    open_door: Callable[..., Door], acme: Organization
) -> None:
    door, producer = open_door(request_max_bytes=2_000), await registered(acme)
    for value in (b"no JSON", b"[]", b'{"a": 1, "a": 2}', b"x" * 2_001, b"", b"\xff"):
        await door.send(value, signed(value, producer.key, producer.id, acme.id, "broken"))
    answers = await door.answers(acme.id)
    assert [answer.request_id for answer in answers] == ["broken"] * 6
    codes = [answer.code for answer in answers if isinstance(answer, RequestRejected)]
    assert codes == ["INVALID_JSON", "INVALID", "INVALID_JSON", "REQUEST_TOO_LARGE", "INVALID_JSON", "INVALID_JSON"]


async def test_an_attacker_is_no_event_of_anybody(
    open_door: Callable[..., Door], mongo: Mongo, new_organization: NewOrganization
) -> None:
    made = await family(mongo, new_organization)
    door, producer, stranger = open_door(), await registered(made.child), await registered(made.stranger)
    template = await create_template(made.child.http)
    asked = request(made.child.id, template_id=template["id"])
    value, right = producer.message(asked)
    other_key = Ed25519PrivateKey.generate()
    none = [("rowdock-token", b"eyJhbGciOiJub25lIiwia2lkIjoieCJ9.e30.")]
    expired = await registered(made.child)
    await mongo.state["request_producers"].update_one({"_id": expired.id}, [{"$set": {"expires_at": "$$NOW"}}])
    revoked = await registered(made.child)
    await Producers().revoke(Principal(made.child.id, "test", ""), revoked.id)
    upwards = producer.message(request(made.parent.id, template_id=template["id"]))
    refused = [
        (value, []),
        (value, none),
        (value, [("rowdock-token", b"a.b.c")]),
        (value, [("rowdock-token", b"x" * 5_000)]),
        (value, signed(value, other_key, producer.id, made.child.id, asked["request_id"])),
        stranger.message(asked),
        upwards,
        (value + b" ", right),
        producer.message(asked, exp=1),
        producer.message(asked, exp=4_000_000_000),
        producer.message(asked, aud="other"),
        producer.message(asked, exp=float("inf")),
        producer.message(asked, exp="never"),
        producer.message(asked, request_id="x" * 201),
        producer.message(asked, request_id="other"),
        producer.message(asked, tenant_id=made.grandchild.id),
        producer.message(asked, sha256=None),
        expired.message(asked),
        revoked.message(asked),
    ]
    for number, (body, headers) in enumerate(refused):
        with pytest.raises(PermanentError) as error:
            await door.send(body, headers)
        assert error.value.code == "UNAUTHORIZED_REQUEST", number
    for organization in (made.child, made.parent, made.stranger, made.grandchild):
        assert await door.answers(organization.id) == []
    assert await mongo.state["runs"].count_documents({"template_id": template["id"]}) == 0

    await door.send(value, right)
    below = request(made.grandchild.id, template_id=(await create_template(made.grandchild.http))["id"])
    await door.send(*producer.message(below))
    assert [answer.kind for answer in await door.answers(made.child.id)] == ["request-accepted"]
    assert [answer.kind for answer in await door.answers(made.grandchild.id)] == ["request-accepted"]


async def test_a_producer_may_be_bound_to_templates(open_door: Callable[..., Door], acme: Organization) -> None:
    door = open_door()
    mine, other = await create_template(acme.http), await create_template(acme.http)
    producer = await registered(acme, templates=(mine["id"],))
    await door.send(*producer.message(request(acme.id, template_id=other["id"])))
    await door.send(*producer.message(request(acme.id, template_id=mine["id"])))
    assert [answer.kind for answer in await door.answers(acme.id)] == ["request-rejected", "request-accepted"]


async def test_where_the_broker_is_trusted(open_door: Callable[..., Door], acme: Organization) -> None:
    door = open_door(requests_trust="broker")
    template = await create_template(acme.http)
    await door.send(encoded(request(acme.id, template_id=template["id"])))
    await door.send(encoded(request(acme.id, rows=[])))
    assert [answer.kind for answer in await door.answers(acme.id)] == ["request-accepted", "request-rejected"]
    undecodable = (b"no JSON", b"{}", encoded({"tenant_id": acme.id}), encoded({"request_id": "r", "tenant_id": "x"}))
    for value in undecodable:
        with pytest.raises(PermanentError) as error:
            await door.send(value)
        assert error.value.code == "UNDECODABLE_MESSAGE"
    with pytest.raises(PermanentError) as unknown:
        await door.send(encoded(request("0" * 24, template_id=template["id"])))
    assert unknown.value.code == "UNKNOWN_TENANT"
    going = {"$set": {"deletion": {"requested_at": datetime.now(UTC)}}}
    await door.mongo.state["organizations"].update_one({"_id": acme.id}, going)
    with pytest.raises(PermanentError) as leaving:
        await door.send(encoded(request(acme.id, template_id=template["id"])))
    assert leaving.value.code == "UNKNOWN_TENANT"


async def test_quotas_and_plans_hold(open_door: Callable[..., Door], acme: Organization) -> None:
    template, producer = await create_template(acme.http), await registered(acme)
    door = open_door(max_active_runs=1)
    asked = request(acme.id, template_id=template["id"])
    for _ in range(2):
        await door.send(*producer.message(asked))
        asked = request(acme.id, template_id=template["id"])
    rated = open_door(rate_limits="free=1/1")
    for _ in range(2):
        await rated.send(*producer.message(request(acme.id, template_id="0" * 24)))
    for each, refused in ((door, ["TOO_MANY_ACTIVE_RUNS"]), (rated, ["TEMPLATE_NOT_FOUND", "RATE_LIMIT_EXCEEDED"])):
        assert each.counted("import_requests", outcome="accepted") == (1 if each is door else 0)
        assert each.counted("import_requests", outcome="rejected") == len(refused)
        assert [each.counted("import_request_rejections", code=code) for code in refused] == [1] * len(refused)
    accepted, full, missing, often = await door.answers(acme.id)
    assert accepted.kind == "request-accepted"
    assert isinstance(full, RequestRejected)
    assert (full.code, full.retry_after_seconds) == ("TOO_MANY_ACTIVE_RUNS", 10)
    assert isinstance(missing, RequestRejected)
    assert missing.code == "TEMPLATE_NOT_FOUND"
    assert isinstance(often, RequestRejected)
    assert often.code == "RATE_LIMIT_EXCEEDED"
    assert often.retry_after_seconds is not None


@pytest.mark.parametrize(
    "point",
    ["gateway.file_stored_before_submit", "gateway.submitted_before_answer", "requests.submitted_before_answer"],
)
async def test_a_request_that_comes_again_after_a_crash_makes_no_second_run(
    point: str,
    open_door: Callable[..., Door],
    acme: Organization,
    mongo: Mongo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    door, producer = open_door(), await registered(acme)
    template = await create_template(acme.http)
    message = producer.message(request(acme.id, template_id=template["id"]))
    monkeypatch.setattr(failpoints, "_points", failpoints._armed(f"{point}:raise"))
    with pytest.raises(TransientError, match="failpoint"):
        await door.send(*message)
    monkeypatch.undo()
    await door.send(*message)
    assert [answer.kind for answer in await door.answers(acme.id)] == ["request-accepted"]
    assert await mongo.state["runs"].count_documents({"tenant_id": acme.id}) == 1


async def test_a_message_is_answered_in_one_way_only(open_door: Callable[..., Door], acme: Organization) -> None:
    door, producer = open_door(), await registered(acme)
    asked = request(acme.id, template_id=uuid4().hex[:24])
    message = await door.send(*producer.message(asked))
    [first] = await door.answers(acme.id)
    await door.take(message)
    assert await door.answers(acme.id) == [first]
    template = await create_template(acme.http)
    await door.send(*producer.message({**asked, "template_id": template["id"]}))
    assert [answer.kind for answer in await door.answers(acme.id)] == ["request-rejected", "request-accepted"]


async def test_operators_register_and_revoke_producers(
    acme: Organization, mongo_settings: MongoSettings, tmp_path: Path, new_organization: NewOrganization
) -> None:
    file = tmp_path / "billing.pem"
    file.write_text(public_pem(Ed25519PrivateKey.generate()))
    code, [made], error = await run_admin(mongo_settings, "producers", "create", acme.id, "billing", str(file))
    assert (code, error) == (0, "")
    _, listed, _ = await run_admin(mongo_settings, "producers", "list", acme.id)
    assert [each["id"] for each in listed] == [made["id"]]
    other = await new_organization()
    code, _, error = await run_admin(mongo_settings, "producers", "revoke", other.id, made["id"])
    assert code == 1
    code, [gone], _ = await run_admin(mongo_settings, "producers", "revoke", acme.id, made["id"])
    assert gone["revoked_at"]
    for wrong in ("no key", "-----BEGIN PRIVATE KEY-----", "AAAA"):
        with pytest.raises(InvalidInputError):
            await registered(acme, public_key=wrong)
