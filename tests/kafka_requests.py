"""An internal producer as one writes it oneself: of Rowdock it knows the documents only."""

import hashlib
import json
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

TOPIC = "imports.requested.v1"
Headers = list[tuple[str, bytes]]


def public_pem(key: Ed25519PrivateKey) -> str:
    """What is registered of a producer."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def request(tenant_id: str, **members: object) -> dict[str, Any]:
    """A request of one row; ``members`` are added, those that are ``None`` left out."""
    told = {
        "event_id": uuid4().hex,
        "occurred_at": datetime.now(UTC).isoformat(),
        "schema_version": 1,
        "request_id": uuid4().hex,
        "tenant_id": tenant_id,
        "rows": [{"sku": "A1", "name": "Anvil"}],
        **members,
    }
    return {name: value for name, value in told.items() if value is not None}


def signed(
    value: bytes, key: Ed25519PrivateKey, kid: str, tenant_id: str, request_id: str, /, **claims: object
) -> Headers:
    """The headers of a message with a token for it; ``claims`` go before those that are right."""
    right = {
        "aud": TOPIC,
        "exp": time.time() + 3_600,
        "tenant_id": tenant_id,
        "request_id": request_id,
        "sha256": hashlib.sha256(value).hexdigest(),
    }
    token = jwt.encode({**right, **claims}, key, algorithm="EdDSA", headers={"kid": kid})
    return [("rowdock-token", token.encode())]


def encoded(asked: dict[str, Any]) -> bytes:
    return json.dumps(asked).encode()
