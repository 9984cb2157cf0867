"""Who has sent a message, and for which organization: consumers of Kafka are not told the principal of a producer.

Either the producer signs a token, which names the organization and the request and is good for this one message; or the
broker's ACLs let nobody write to the topic who may not ask for every organization.
"""

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from jwt.exceptions import ExpiredSignatureError, InvalidSignatureError, PyJWTError

from libs.contracts.errors import PermanentError
from libs.contracts.requests import REQUEST_ID_PATTERN, TOKEN_ALGORITHM, TOKEN_AUDIENCE, TOKEN_HEADER
from libs.messaging.receiving import Incoming
from libs.storage.documents import RequestProducer
from services.gateway.access.principal import Principal
from services.gateway.access.producers import Producers, read_public_key
from services.gateway.access.reach import Reach
from services.gateway.errors import NotFoundError
from services.gateway.requests.reading import ReadRequest
from services.gateway.requests.settings import Trust
from services.gateway.stores.organizations import OrganizationStore

MAX_TOKEN_CHARS: Final = 4_096
MAX_TOKEN_DAYS: Final = 30
"""So that a token is long of no use when the run of its request is forgotten, and the request would be a new one."""
LEEWAY_SECONDS: Final = 30
_BROKER: Final = "broker"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for an import.

    Attributes:
        principal: acts for the organization that is asked for.
        request_id: of the request, also where that cannot be read.
        templates: ids of the only ones that it may use; ``None`` for any.
    """

    principal: Principal
    request_id: str
    templates: frozenset[str] | None = None


class Askers:
    """Recognises who has sent a message."""

    def __init__(self, trust: Trust, producers: Producers, reach: Reach, organizations: OrganizationStore) -> None:
        self._trust = trust
        self._producers = producers
        self._reach = reach
        self._organizations = organizations

    async def of(self, message: Incoming, request: ReadRequest) -> Asker:
        """Who has sent ``message``.

        Raises:
            PermanentError: ``UNAUTHORIZED_REQUEST`` or ``UNKNOWN_TENANT``, for the operator: whoever sent it is not
                answered, lest somebody write what they like into the events of an organization.
            UndecodableMessageError: nothing says for whom it is.
        """
        asker = self._of_broker(request) if self._trust is Trust.BROKER else await self._of_token(message, request)
        tenants = {asker.principal.tenant_id, asker.principal.home}
        if not await self._organizations.at_work(tenants):
            raise PermanentError(
                "UNKNOWN_TENANT",
                f"there is no organization {asker.principal.tenant_id}, or it is being deleted; mend tenant_id",
            )
        return asker

    def _of_broker(self, request: ReadRequest) -> Asker:
        told = request.identity()
        return Asker(Principal(told.tenant_id, _BROKER, _BROKER), told.request_id)

    async def _of_token(self, message: Incoming, request: ReadRequest) -> Asker:
        token = message.headers.get(TOKEN_HEADER)
        if token is None:
            raise _unauthorized(f"there is no header {TOKEN_HEADER}; sign a token, see docs/kafka.md")
        producer = await self._signer(token)
        claims = _claims(token, producer)
        tenant_id, request_id, digest = (_text(claims, name) for name in ("tenant_id", "request_id", "sha256"))
        if not re.fullmatch(REQUEST_ID_PATTERN, request_id):
            raise _unauthorized("the request_id of the token is not 1 to 200 visible ASCII characters")
        if digest != hashlib.sha256(message.value).hexdigest():
            raise _unauthorized("the token was signed for another message: its sha256 is not that of the value")
        if request.names_others(tenant_id, request_id):
            raise _unauthorized("tenant_id or request_id of the message are not those of the token")
        principal = Principal(producer.tenant_id, f"producer:{producer.name}", producer.id)
        try:
            acting = await self._reach.acting_for(principal, tenant_id)
        except NotFoundError as error:
            raise _unauthorized(
                f"the producer {producer.id} may ask for its own organization and those below it, not for this one"
            ) from error
        return Asker(acting, request_id, None if producer.templates is None else frozenset(producer.templates))

    async def _signer(self, token: str) -> RequestProducer:
        """The producer that a token says it is of; nothing of it is believed before its signature is checked."""
        try:
            if len(token) > MAX_TOKEN_CHARS:
                raise _unauthorized(f"the token has more than {MAX_TOKEN_CHARS:,} characters")
            kid: object = jwt.get_unverified_header(token).get("kid")
        except (PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise _unauthorized("the token is no JWT") from error
        producer = await self._producers.live(kid) if isinstance(kid, str) else None
        if producer is None:
            raise _unauthorized("the kid of the token names no producer, or one that was revoked or has expired")
        return producer


def _claims(token: str, producer: RequestProducer) -> Mapping[str, Any]:
    try:
        claims = jwt.decode(
            token,
            read_public_key(producer.public_key),
            algorithms=[TOKEN_ALGORITHM],
            audience=TOKEN_AUDIENCE,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "aud"]},
        )
        left = float(claims["exp"]) - time.time()
    except ExpiredSignatureError as error:
        raise _unauthorized("the token has expired; sign the message again") from error
    except InvalidSignatureError as error:
        raise _unauthorized(f"the token is not signed with the key of the producer {producer.id}") from error
    except (PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _unauthorized(
            f"the token is not as it must be: signed with {TOKEN_ALGORITHM}, aud {TOKEN_AUDIENCE}, with exp"
        ) from error
    if left > MAX_TOKEN_DAYS * 86_400:
        raise _unauthorized(f"the token is good for more than {MAX_TOKEN_DAYS} days; let it expire earlier")
    return claims


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str):
        raise _unauthorized(f"the token has no claim {name} that is text")
    return value


def _unauthorized(detail: str) -> PermanentError:
    return PermanentError("UNAUTHORIZED_REQUEST", detail)
