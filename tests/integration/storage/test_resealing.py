"""Stored secrets are encrypted with another key, beside whoever replaces them; nothing else changes."""

from typing import Any

from cryptography.fernet import Fernet
from pymongo import MongoClient

from libs.storage.client import Mongo
from libs.storage.resealing import DOCUMENTS_AT_A_TIME, SEALED_DOCUMENTS, KeyUse, Resealing
from libs.storage.sealing import SecretKeys

OLD, NEW, LOST = (Fernet.generate_key().decode() for _ in range(3))
MANY = DOCUMENTS_AT_A_TIME + 50
ANSWER = b"\x00\xff" * 3_000_000
"""Two of them are more than one update may hold."""


def sealed(key: str, content: str) -> str:
    return SecretKeys(key).encrypt(content.encode()).decode()


async def stored(mongo: Mongo) -> dict[str, list[dict[str, Any]]]:
    return {name: await mongo.state[name].find().sort("_id", 1).to_list() for name in SEALED_DOCUMENTS}


async def fill(mongo: Mongo) -> None:
    """Secrets under the old key, the new one, a lost one; and documents without."""
    endpoints = [{"_id": f"e{n:05}", "encrypted_secret": sealed(OLD, f"secret {n}"), "version": n} for n in range(MANY)]
    endpoints[0]["previous_secret"] = sealed(OLD, "before")
    endpoints[1]["previous_secret"] = None
    endpoints[2]["encrypted_secret"] = sealed(NEW, "secret 2")
    endpoints[3]["encrypted_secret"] = sealed(LOST, "secret 3")
    await mongo.state["webhook_endpoints"].insert_many(endpoints)
    await mongo.state["sources"].insert_many(
        [
            {"_id": "s0", "sftp": {"host": "example.com", "credentials": sealed(OLD, "password")}},
            {"_id": "s1", "sftp": None},
        ]
    )
    answer = {"status": 201, "headers": [], "body": SecretKeys(OLD).encrypt(ANSWER)}
    await mongo.state["idempotency_keys"].insert_many(
        [
            {"_id": "i0", "token": "t0", "answer": answer},
            {"_id": "i1", "token": "t1", "answer": {**answer, "body": None}},
            {"_id": "i2", "token": "t2", "answer": None},
        ]
    )


async def test_what_is_under_an_earlier_key_comes_under_the_first(mongo: Mongo) -> None:
    await fill(mongo)
    before = await stored(mongo)
    keys = SecretKeys(f"{NEW},{OLD}")
    resealing = Resealing(mongo, keys)
    lost = KeyUse(current=1, outdated=MANY - 1, unreadable=1, examples=("e00003",))
    assert await resealing.look("webhook_endpoints") == lost
    first = await resealing.look("webhook_endpoints", most_bytes=1)
    assert (first.outdated, first.more) == (1, True)

    names = ("webhook_endpoints", "sources", "idempotency_keys")
    assert [await resealing.renew(name) for name in names] == [MANY - 1, 1, 1]
    assert [await resealing.look(name) for name in names] == [
        KeyUse(current=MANY, unreadable=1, examples=("e00003",)), KeyUse(current=1), KeyUse(current=1),
    ]  # fmt: skip
    after, only = await stored(mongo), SecretKeys(NEW)
    assert only.decrypt(after["webhook_endpoints"][0]["previous_secret"]) == b"before"
    readable = [each for each in after["webhook_endpoints"] if each["_id"] != "e00003"]
    assert [only.decrypt(each["encrypted_secret"]).decode() for each in readable] == [
        f"secret {each['version']}" for each in readable
    ]
    assert only.decrypt(after["sources"][0]["sftp"]["credentials"]) == b"password"
    assert only.decrypt(after["idempotency_keys"][0]["answer"]["body"]) == ANSWER
    for each in after["webhook_endpoints"]:
        del each["encrypted_secret"]
        each.pop("previous_secret", None)
    for each in before["webhook_endpoints"]:
        del each["encrypted_secret"]
        each.pop("previous_secret", None)
    assert after["webhook_endpoints"] == before["webhook_endpoints"]

    # A second time there is nothing to do.
    unchanged = await stored(mongo)
    assert [await resealing.renew(name) for name in names] == [0, 0, 0]
    assert await stored(mongo) == unchanged


class Overtaken(SecretKeys):
    """Between the look at a secret and its new encryption somebody replaces it, as gateways do, under the old key."""

    def __init__(self, text: str, uri: str, database: str) -> None:
        super().__init__(text)
        self._uri = uri
        self._database = database
        self.times = 1

    def renewed(self, sealed: bytes | str) -> bytes:
        if self.times:
            self.times -= 1
            change = {"previous_secret": "$encrypted_secret", "encrypted_secret": {"$literal": _AFTER}}
            with MongoClient[dict[str, Any]](self._uri) as client:
                client[self._database]["webhook_endpoints"].update_one({"_id": "e"}, [{"$set": change}])
        return super().renewed(sealed)


_AFTER = sealed(OLD, "after")


async def test_a_secret_that_is_replaced_meanwhile_is_not_lost(mongo: Mongo, mongodb_uri: str) -> None:
    await mongo.state["webhook_endpoints"].insert_one({"_id": "e", "encrypted_secret": sealed(OLD, "before")})
    keys = Overtaken(f"{NEW},{OLD}", mongodb_uri, mongo.state.name)
    assert await Resealing(mongo, keys).renew("webhook_endpoints") == 2
    kept = await mongo.state["webhook_endpoints"].find_one({"_id": "e"})
    assert kept is not None
    only = SecretKeys(NEW)
    assert [only.decrypt(kept[name]) for name in ("previous_secret", "encrypted_secret")] == [b"before", b"after"]
