"""Session tokens of Clerk, and what attackers make of them; keys come over HTTP from a server of the test's own."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt
import pytest
from beanie import init_beanie
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import RSAAlgorithm
from litestar import Litestar

from libs.storage.client import Mongo
from libs.storage.documents import DOCUMENTS
from libs.storage.settings import MongoSettings
from tests.integration.gateway.conftest import Organization, new_app
from tests.integration.gateway.steps import assert_error, template_body

ISSUER, ORIGIN = "https://clerk.acme.example", "https://app.acme.example"
KEY, STRANGERS_KEY = (rsa.generate_private_key(public_exponent=65_537, key_size=2_048) for _ in range(2))


@dataclass
class Jwks:
    """Where the public keys are."""

    kids: list[str] = field(default_factory=lambda: ["k1"])
    asked: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        keys = [{**RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": kid, "use": "sig"} for kid in self.kids]
        body = json.dumps({"keys": keys}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()


@pytest.fixture(scope="module")
async def jwks() -> AsyncIterator[tuple[Jwks, str]]:
    keys = Jwks()
    async with await asyncio.start_server(keys.answer, "127.0.0.1", 0) as server:
        yield keys, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"


@pytest.fixture(scope="module")
async def signing_in(app: Litestar, mongo_settings: MongoSettings, jwks: tuple[Jwks, str]) -> AsyncIterator[Litestar]:
    """A gateway that lets people in whom Clerk has signed in."""
    other = new_app(
        mongo_settings,
        clerk_issuer=ISSUER,
        clerk_jwks_url=jwks[1],
        clerk_authorized_parties=ORIGIN,
        clerk_roles="admin=read+write+admin,member=read+write,viewer=read",
    )
    started, over = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with other.lifespan():
            started.set()
            await over.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(live())
        await started.wait()
        yield other
        over.set()
    await init_beanie(database=app.state.gateway.context.mongo.state, document_models=DOCUMENTS, skip_indexes=True)


@pytest.fixture
async def http(signing_in: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(signing_in)  # pyright: ignore[reportArgumentType]
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


def claims(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """Of a session token, in the second version of Clerk's; ``None`` leaves a claim out."""
    now = int(time.time())
    usual = {
        "iss": ISSUER, "azp": ORIGIN, "sub": "user_1", "sid": "sess_1", "iat": now, "nbf": now - 10, "exp": now + 60,
        "v": 2, "sts": "active", "o": {"id": "org_1", "rol": "admin", "slg": "acme"},
    }  # fmt: skip
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def token(*, key: Any = KEY, algorithm: str = "RS256", kid: str | None = "k1", **changes: Any) -> str:  # noqa: ANN401
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers={} if kid is None else {"kid": kid})


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


V1 = {"v": None, "sts": None, "o": None}


@pytest.mark.parametrize(
    ("said", "statuses"),
    [
        ({}, (200, 201, 200)),
        ({"o": {"id": "org_1", "rol": "member"}}, (200, 201, 403)),
        ({"o": {"id": "org_1", "rol": "viewer"}}, (200, 403, 403)),
        ({"o": {"id": "org_1", "rol": "guest"}}, (403, 403, 403)),
        ({**V1, "org_id": "org_1", "org_role": "org:admin", "org_slug": "acme"}, (200, 201, 200)),
        ({**V1, "org_id": "org_1", "org_role": "member"}, (200, 201, 403)),
        ({**V1, "org_id": "org_1"}, (403, 403, 403)),
        ({"azp": None}, (200, 201, 200)),
    ],
)
async def test_a_role_in_the_organization_is_worth_its_scopes(
    http: httpx.AsyncClient, said: dict[str, Any], statuses: tuple[int, int, int]
) -> None:
    headers = bearer(token(**said))
    read = await http.get("/imports/templates", headers=headers)
    wrote = await http.post("/imports/templates", json=template_body(), headers=headers)
    managed = await http.get("/api/v1/api-keys", headers=headers)
    assert (read.status_code, wrote.status_code, managed.status_code) == statuses


async def test_members_of_one_organization_share_it_and_others_see_nothing(
    http: httpx.AsyncClient, acme: Organization, mongo: Mongo
) -> None:
    ours = bearer(token(o={"id": "org_sharing", "rol": "member", "slg": "sharing"}))
    colleague = bearer(token(sub="user_2", o={"id": "org_sharing", "rol": "viewer"}))
    stranger = bearer(token(sub="user_1", o={"id": "org_other", "rol": "admin"}))
    made = (await http.post("/imports/templates", json=template_body(), headers=ours)).json()
    answer = await http.post("/imports/templates", json=template_body(), headers=bearer(acme.key))
    foreign = answer.json()
    shown = f"/imports/templates/{made['id']}"
    assert (await http.get(shown, headers=colleague)).json()["id"] == made["id"]
    assert_error(await http.get(shown, headers=stranger), 404, "TEMPLATE_NOT_FOUND")
    assert_error(await http.get(f"/imports/templates/{foreign['id']}", headers=stranger), 404, "TEMPLATE_NOT_FOUND")
    assert (await acme.http.get(shown)).status_code == 404
    stored = await mongo.state["organizations"].find({"clerk_id": "org_sharing"}).to_list(None)
    assert [(each["name"], str(each["_id"]) == made["tenant_id"]) for each in stored] == [("sharing", True)]


async def test_many_first_tokens_of_an_organization_make_one(http: httpx.AsyncClient, mongo: Mongo) -> None:
    headers = bearer(token(o={"id": "org_rush", "rol": "admin"}))
    answers = await asyncio.gather(*(http.get("/imports/templates", headers=headers) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert await mongo.state["organizations"].count_documents({"clerk_id": "org_rush"}) == 1


async def test_without_an_organization_nobody_gets_in(http: httpx.AsyncClient) -> None:
    for said in ({"o": None}, {**V1}):
        assert_error(await http.get("/imports/templates", headers=bearer(token(**said))), 403, "NO_ORGANIZATION")


def forged(header: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    def part(value: object) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signed = part(header) + b"." + part(claims())
    return (signed + b"." + base64.urlsafe_b64encode(sign(signed)).rstrip(b"=")).decode()


PEM = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
NOW = int(time.time())
ATTACKS: dict[str, Callable[[], str]] = {
    "no algorithm": lambda: forged({"alg": "none", "kid": "k1"}, lambda _: b""),
    "no signature": lambda: token().rsplit(".", 1)[0] + ".",
    "HMAC by the public key": lambda: forged(
        {"alg": "HS256", "kid": "k1"}, lambda signed: hmac.digest(PEM, signed, hashlib.sha256)
    ),
    "another RSA algorithm": lambda: token(algorithm="RS512"),
    "PSS": lambda: token(algorithm="PS256"),
    "elliptic curve": lambda: token(key=ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"),
    "a stranger's key": lambda: token(key=STRANGERS_KEY),
    "a stranger's key in the header": lambda: jwt.encode(
        claims(), STRANGERS_KEY, "RS256",
        {"kid": "k1", "jwk": RSAAlgorithm.to_jwk(STRANGERS_KEY.public_key(), as_dict=True), "jku": "http://evil.example"},
    ),
    "no key's name": lambda: token(kid=None),
    "another issuer": lambda: token(iss="https://clerk.evil.example"),
    "an issuer that begins alike": lambda: token(iss=ISSUER + ".evil.example"),
    "another origin": lambda: token(azp="https://evil.acme.example"),
    "an origin that is no text": lambda: token(azp=7),
    "expired": lambda: token(exp=int(time.time()) - 11),
    "not yet": lambda: token(nbf=int(time.time()) + 60),
    "issued later": lambda: token(iat=int(time.time()) + 60),
    "no end": lambda: token(exp=None),
    "no person": lambda: token(sub=None),
    "an empty person": lambda: token(sub=""),
    "not signed in wholly": lambda: token(sts="pending"),
    "an organization that is no object": lambda: token(o="org_1"),
    "an organization that is no text": lambda: token(o={"id": {"$ne": ""}, "rol": "admin"}),
    "a role that is no text": lambda: token(o={"id": "org_1", "rol": ["admin"]}),
    "another payload": lambda: ".".join((*token(sub="user_9").split(".")[:2], token().split(".")[2])),
    "three empty parts": lambda: "..",
    "no base64": lambda: "a.b.c",
    "bytes that are no text": lambda: "/w.__8.__8",
    "a critical header that nobody knows": lambda: jwt.encode(
        claims(), KEY, "RS256", {"kid": "k1", "crit": ["exp"], "exp": 1}
    ),
    "a payload that is not encoded": lambda: jwt.encode(claims(), KEY, "RS256", {"kid": "k1", "b64": False}),
    "an end that is no number": lambda: token(exp="tomorrow"),
    "an end without end": lambda: token(exp=float("inf")),
    "an end that is not a number": lambda: token(exp=float("nan")),
    "a beginning without end": lambda: token(nbf=float("-inf"), iat=float("-inf")),
    "a person that is no text": lambda: token(sub=7),
    "an issuer of several": lambda: jwt.api_jws.encode(
        json.dumps(claims(iss=[ISSUER])).encode(), KEY, "RS256", {"kid": "k1"}
    ),
    "a name of the key that leads elsewhere": lambda: token(kid="../../etc/passwd\x00"),
    "a very long name of the key": lambda: token(kid="k" * 4_000),
    "claims that are deeply nested": lambda: jwt.api_jws.encode(b"[" * 2_000, KEY, "RS256", {"kid": "k1"}),
    "claims that are no object": lambda: jwt.api_jws.encode(b"[1]", KEY, "RS256", {"kid": "k1"}),
    "claims that are no JSON": lambda: jwt.api_jws.encode(b"\xff", KEY, "RS256", {"kid": "k1"}),
    "encrypted": lambda: base64.urlsafe_b64encode(b'{"alg":"RSA-OAEP","enc":"A256GCM"}').decode() + ".a.b.c.d",
    "a header that is no object": lambda: "W10.e30.AAAA",
    "a name of the key that is no text": lambda: forged({"alg": "RS256", "kid": {"$gt": ""}}, lambda _: b"x"),
    "very long": lambda: "a" * 9_000 + ".b.c",
    "deeply nested": lambda: base64.urlsafe_b64encode(b"[" * 3_000).decode().rstrip("=") + ".e30.AAAA",
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
async def test_attacks_are_refused(http: httpx.AsyncClient, attack: str) -> None:
    answer = await http.get("/imports/templates", headers=bearer(ATTACKS[attack]()))
    assert_error(answer, 401, "UNAUTHORIZED")


async def test_clocks_may_differ_by_some_seconds(http: httpx.AsyncClient) -> None:
    now = int(time.time())
    for said in ({"exp": now - 5}, {"nbf": now + 5, "iat": now + 5}):
        assert (await http.get("/imports/templates", headers=bearer(token(**said)))).status_code == 200


async def test_names_of_keys_that_nobody_has_are_no_load_for_the_issuer(
    http: httpx.AsyncClient, jwks: tuple[Jwks, str]
) -> None:
    assert (await http.get("/imports/templates", headers=bearer(token()))).status_code == 200
    before = jwks[0].asked
    forged_tokens = [token(key=STRANGERS_KEY, kid=f"unknown{number}") for number in range(100)]
    answers = await asyncio.gather(*(http.get("/imports/templates", headers=bearer(each)) for each in forged_tokens))
    assert {answer.status_code for answer in answers} == {401}
    assert jwks[0].asked <= before + 1
    assert (await http.get("/imports/templates", headers=bearer(token()))).status_code == 200


async def test_people_have_limits_of_their_own(http: httpx.AsyncClient, mongo: Mongo) -> None:
    one, two = (bearer(token(sub=f"user_{at}", o={"id": "org_limits", "rol": "admin"})) for at in "ab")
    first = await http.get("/imports/templates", headers=one)
    assert "x-ratelimit-limit" not in first.headers  # the tests' gateways have no limits
    organization = await mongo.state["organizations"].find_one({"clerk_id": "org_limits"})
    assert organization is not None
    await mongo.state["organizations"].update_one({"_id": organization["_id"]}, {"$set": {"plan": "starter"}})

    async def remaining(headers: dict[str, str]) -> int | None:
        answer = await http.get("/imports/templates", headers=headers)
        left = answer.headers.get("x-ratelimit-remaining")
        return None if left is None else int(left)

    async with asyncio.timeout(60):  # until the gateway asks for the plan again
        while await remaining(one) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert await remaining(one) == 98
    assert await remaining(two) == 99


async def test_where_nobody_signs_in_tokens_open_nothing(acme: Organization) -> None:
    assert_error(await acme.http.get("/imports/templates", headers=bearer(token())), 401, "UNAUTHORIZED")


# An application that ends at once may cancel the making of a connection, whose socket PyMongo then leaves open.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
async def test_while_keys_cannot_be_fetched_it_is_the_services_fault(
    app: Litestar, mongo_settings: MongoSettings
) -> None:
    lonely = new_app(
        mongo_settings, clerk_issuer=ISSUER, clerk_jwks_url="http://127.0.0.1:1/jwks", clerk_authorized_parties=ORIGIN
    )
    async with lonely.lifespan():
        transport = httpx.ASGITransport(lonely)  # pyright: ignore[reportArgumentType]
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            answer = await client.get("/imports/templates", headers=bearer(token()))
            assert_error(answer, 503, "SIGN_IN_UNAVAILABLE")
            assert answer.headers["retry-after"] == "5"
    await init_beanie(database=app.state.gateway.context.mongo.state, document_models=DOCUMENTS, skip_indexes=True)


@pytest.mark.usefixtures("rebound")
async def test_who_has_no_organization_is_counted_by_address(
    mongo_settings: MongoSettings, jwks: tuple[Jwks, str]
) -> None:
    limited = new_app(
        mongo_settings,
        clerk_issuer=ISSUER,
        clerk_jwks_url=jwks[1],
        clerk_authorized_parties=ORIGIN,
        strangers_per_minute=3,
    )
    async with limited.lifespan():
        transport = httpx.ASGITransport(limited, client=("192.0.2.9", 5))  # pyright: ignore[reportArgumentType]
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            for left in (2, 1, 0):
                answer = await client.get("/imports/templates", headers=bearer(token(o=None)))
                assert_error(answer, 403, "NO_ORGANIZATION")
                assert answer.headers["x-ratelimit-remaining"] == str(left)
            refused = await client.get("/imports/templates", headers=bearer(token(o=None)))
            assert_error(refused, 429, "RATE_LIMIT_EXCEEDED")
