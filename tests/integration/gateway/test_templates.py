"""Templates over HTTP."""

import asyncio

import httpx
import pytest
from cryptography.fernet import Fernet

from libs.storage.client import Mongo
from tests.integration.gateway.conftest import SECRET_KEY, Organization
from tests.integration.gateway.steps import assert_error, create_template, template_body

GIVEN_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_the_life_of_a_template(http: httpx.AsyncClient) -> None:
    created = await http.post("/imports/templates", json=template_body(description="one"))
    assert created.status_code == 201
    template = created.json()
    url = created.headers["location"]
    assert url == f"/imports/templates/{template['id']}"
    assert template["version"] == 1
    assert template["created_at"].endswith("Z")
    assert (await http.get(url)).json() == template
    assert (await http.get("/imports/templates")).json()["data"] == [template]

    replaced = await http.put(url, json={**template, "description": "two"})
    assert replaced.status_code == 200, replaced.text
    assert (replaced.json()["version"], replaced.json()["description"]) == (2, "two")
    assert_error(await http.put(url, json={**template, "description": "three"}), 409, "TEMPLATE_CHANGED")
    assert (await http.put(url, json=template_body())).json()["version"] == 3

    assert (await http.delete(url)).status_code == 204
    for method in ("GET", "DELETE"):
        assert_error(await http.request(method, url), 404, "TEMPLATE_NOT_FOUND")
    assert (await http.get("/imports/templates")).json()["data"] == []


async def test_of_two_changes_at_once_none_is_lost(http: httpx.AsyncClient) -> None:
    template = await create_template(http)
    url = f"/imports/templates/{template['id']}"
    answers = await asyncio.gather(*(http.put(url, json={**template, "name": f"n{i}"}) for i in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]


async def test_pages(http: httpx.AsyncClient) -> None:
    ids = [(await create_template(http))["id"] for _ in range(5)]
    seen: list[str] = []
    after: str | None = None
    while True:
        page = (await http.get("/imports/templates", params={"limit": 2, **({"after": after} if after else {})})).json()
        seen += [template["id"] for template in page["data"]]
        if (after := page["next_after"]) is None:
            break
    assert seen == sorted(ids, reverse=True)


async def test_every_problem_is_named_with_its_place(http: httpx.AsyncClient) -> None:
    body = template_body(file_type="xml", colour=1)
    body["field_mapping"][1]["validators"] = [{"type": "regex", "pattern": "(?<=a)b"}]
    error = assert_error(
        await http.post("/imports/templates", json=body),
        422, "INVALID_TEMPLATE", "body.colour", "body.field_mapping[1].validators[0].pattern", "body.file_type",
    )  # fmt: skip
    assert "look-around" in error["errors"][1]["message"]
    assert "csv" in error["errors"][2]["message"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000, b'{"a": ' + b"9" * 5_000 + b"}"]
)
async def test_unreadable_json(http: httpx.AsyncClient, content: bytes) -> None:
    answer = await http.post("/imports/templates", content=content, headers={"Content-Type": "application/json"})
    assert_error(answer, 400, "INVALID_JSON")


async def test_a_body_of_another_type_or_too_large(http: httpx.AsyncClient) -> None:
    answer = await http.post("/imports/templates", content="name=x", headers={"Content-Type": "text/plain"})
    assert_error(answer, 415, "NOT_JSON")
    answer = await http.post("/imports/templates", json=template_body(description="x" * 1_100_000))
    assert_error(answer, 413, "REQUEST_ENTITY_TOO_LARGE")


async def test_a_secret_is_made_shown_once_and_stored_encrypted(acme: Organization, mongo: Mongo) -> None:
    http = acme.http
    template = await create_template(http, webhook_url="https://example.com/hook")
    secret, url = template["webhook_secret"], f"/imports/templates/{template['id']}"
    assert secret.startswith("whsec_")
    assert (await http.get(url)).json()["webhook_secret"] is None
    endpoint = await mongo.state["webhook_endpoints"].find_one({"template_id": template["id"]})
    assert endpoint is not None
    assert endpoint["tenant_id"] == acme.id
    assert Fernet(SECRET_KEY).decrypt(endpoint["encrypted_secret"]).decode() == secret

    kept = await http.put(url, json=template_body(webhook_url="https://example.com/other"))
    assert kept.json()["webhook_secret"] is None
    changed = await mongo.state["webhook_endpoints"].find_one({"_id": endpoint["_id"]})
    assert changed is not None
    assert (changed["url"], changed["encrypted_secret"]) == ("https://example.com/other", endpoint["encrypted_secret"])

    given = await http.put(url, json=template_body(webhook_url="https://example.com/x", webhook_secret=GIVEN_SECRET))
    assert given.json()["webhook_secret"] == GIVEN_SECRET
    gone = await http.put(url, json=template_body())
    assert gone.json()["webhook_url"] is None
    disabled = await mongo.state["webhook_endpoints"].find_one({"_id": endpoint["_id"]})
    assert disabled is not None
    assert disabled["enabled"] is False


async def test_an_upsert_key_gets_a_unique_index(http: httpx.AsyncClient, mongo: Mongo) -> None:
    upsert = {"import_mode": "upsert", "upsert_key": "sku", "target_resource": "keyed"}
    await create_template(http, **upsert)
    await create_template(http, **upsert)
    index = (await mongo.target["keyed"].index_information())["upsert_sku"]
    assert index["key"] == [("tenant_id", 1), ("sku", 1)]
    assert index["unique"] is True
    lookup = {
        "tenant_id": "x",
        "is_deleted": False,
        "sku": {"$in": ["a"], "$type": ["string", "number", "date", "bool"]},
    }
    plan = await mongo.target["keyed"].find(lookup).explain()
    assert "IXSCAN" in str(plan["queryPlanner"]["winningPlan"])


async def test_an_upsert_key_that_is_not_unique(acme: Organization, mongo: Mongo) -> None:
    twice = [{"tenant_id": acme.id, "sku": "A1", "is_deleted": False} for _ in range(2)]
    await mongo.target["unkeyed"].insert_many(twice)
    body = template_body(import_mode="upsert", upsert_key="sku", target_resource="unkeyed")
    answer = await acme.http.post("/imports/templates", json=body)
    assert_error(answer, 409, "UPSERT_KEY_NOT_UNIQUE", "body.upsert_key")
    assert (await acme.http.get("/imports/templates")).json()["data"] == []
