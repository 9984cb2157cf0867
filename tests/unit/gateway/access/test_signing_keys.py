"""Keys of session tokens: how often they are fetched, and how long they serve."""

import asyncio
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from libs.contracts.errors import TransientError
from services.gateway.access.signing_keys import (
    KEPT_SECONDS,
    MAX_PAUSE_SECONDS,
    REFRESH_SECONDS,
    RENEW_SECONDS,
    SigningKeys,
    fetching,
    key_set,
)

KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def jwk(kid: str, key: rsa.RSAPrivateKey = KEY, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", "alg": "RS256", **changes}


class Issuer:
    """Answers with its keys, or not at all; counts how often it is asked."""

    def __init__(self, *kids: str) -> None:
        self.kids = kids
        self.asked = 0
        self.down = False
        self.now = 0.0

    async def fetch(self) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        if self.down:
            raise OSError("nobody answers")
        return json.dumps({"keys": [jwk(kid) for kid in self.kids]}).encode()

    def clock(self) -> float:
        return self.now

    @property
    def keys(self) -> SigningKeys:
        return SigningKeys(self.fetch, self.clock)


async def known(keys: SigningKeys, kid: str) -> bool:
    return await keys.key(kid) is not None


async def test_keys_are_fetched_once_for_everybody() -> None:
    issuer = Issuer("a", "b")
    keys = issuer.keys
    assert all(await asyncio.gather(*(known(keys, kid) for kid in "abab" * 50)))
    assert issuer.asked == 1


async def test_a_flood_of_unknown_keys_is_one_fetch_in_ten_seconds() -> None:
    issuer = Issuer("a")
    keys = issuer.keys
    assert await known(keys, "a")
    for second in range(60):
        issuer.now = float(second)
        found = await asyncio.gather(*(known(keys, f"{second}.{number}") for number in range(50)))
        assert not any(found)
        assert await known(keys, "a")
    assert issuer.asked == 60 / REFRESH_SECONDS


async def test_a_new_key_is_found_and_one_that_is_gone_is_not() -> None:
    issuer = Issuer("a")
    keys = issuer.keys
    assert await known(keys, "a")
    issuer.kids = ("b",)
    issuer.now = REFRESH_SECONDS
    assert await known(keys, "b")
    assert not await known(keys, "a")


async def test_keys_serve_through_an_outage_for_a_day() -> None:
    issuer = Issuer("a")
    keys = issuer.keys
    assert await known(keys, "a")
    issuer.down = True
    while issuer.now + 100 < KEPT_SECONDS:
        issuer.now += 100
        assert await known(keys, "a")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    # After the first hour it is tried again and again, more and more rarely.
    assert 3 <= issuer.asked <= 1 + (KEPT_SECONDS - RENEW_SECONDS) / MAX_PAUSE_SECONDS + 10
    issuer.now = KEPT_SECONDS + 1
    with pytest.raises(TransientError):
        await keys.key("a")


async def test_without_any_keys_nobody_is_called_a_liar() -> None:
    issuer = Issuer("a")
    issuer.down = True
    keys = issuer.keys
    for _ in range(5):
        with pytest.raises(TransientError):
            await keys.key("a")
    assert issuer.asked == 1
    issuer.down = False
    issuer.now = REFRESH_SECONDS
    assert await known(keys, "a")


async def test_who_leaves_does_not_stop_the_fetch_for_others() -> None:
    issuer = Issuer("a")
    keys = issuer.keys
    first, second = asyncio.create_task(keys.key("a")), asyncio.create_task(keys.key("a"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is not None
    assert issuer.asked == 1


def test_only_strong_rsa_keys_for_signatures_count() -> None:
    weak = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)  # noqa: S505 - that is the point
    curve = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
    others = [
        jwk("weak", weak), jwk("encrypts", use="enc"), {**curve, "kid": "curve"},
        {"kty": "oct", "k": "AAAA", "kid": "shared"}, jwk("broken", n="!"), {**jwk("x"), "kid": 7}, None, "key",
        jwk("no text", n=7), jwk("no part", e=None), jwk("nothing", n="AA", e="AA"), jwk("even", e="Ag"),
        jwk("private", d="AQAB", p="!", q=[]), {"kty": "RSA", "kid": "empty"}, {"kid": {}},
    ]  # fmt: skip
    assert set(key_set(json.dumps({"keys": [*others, jwk("good")]}).encode())) == {"good"}
    for content in (b"", b"[]", b"{}", b'{"keys": {}}', json.dumps({"keys": others}).encode(), b"\xff"):
        with pytest.raises(ValueError, match=r"no RSA key|Expecting|decode"):
            key_set(content)


async def test_an_issuer_that_answers_nonsense_lets_nobody_in_and_breaks_nothing() -> None:
    issuer = Issuer("a")
    answers = [b"[" * 100_000, b"null", b"\xff", b'{"keys": [1e999]}', b'{"keys": ' + b"9" * 5_000 + b"}"]
    for number, content in enumerate(answers):

        async def nonsense(content: bytes = content) -> bytes:
            return content

        keys = SigningKeys(nonsense, issuer.clock)
        for _ in range(3):
            with pytest.raises(TransientError):
                await keys.key(f"a{number}")


@pytest.mark.parametrize("url", ["http://example.com/keys", "file:///etc/passwd", "ftp://example.com", "keys"])
def test_keys_come_over_https_only(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        fetching(url)
