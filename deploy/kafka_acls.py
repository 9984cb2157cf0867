"""Kafka's ACLs, made and looked at by the table of ``deploy.kafka_rights``: ``python -m deploy.provision --acls``.

Only what that table and the command line name is given, to users with the names of its services; ACLs of others are
left alone. A service of the release before may need what this one does not: that is taken with ``--finish``.
"""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, SecurityDisabled, for_code
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest

from deploy.kafka_rights import USERS, Operation, Resource, Right, rights_of, rights_of_producers, user_of
from libs.contracts.errors import PermanentError, TransientError
from libs.messaging.connection import REQUEST_TIMEOUT_MS, KafkaSettings

ANY = 1
"""Of every kind, by Kafka's numbers."""
LITERAL, PREFIXED = 3, 4
ALLOW = 3
EVERYWHERE = "*"
"""From every host."""


@dataclass(frozen=True, slots=True)
class Given:
    """What ``give_rights`` did: texts such as ``rowdock-parser: READ on topic …``.

    Attributes:
        made: that were missing.
        taken: that a service does not need any more.
        beyond: that a service of this release does not need, and keeps for those of the release before.
    """

    made: Sequence[str]
    taken: Sequence[str]
    beyond: Sequence[str]


class NoAuthorizerError(PermanentError):
    """The brokers ask nobody what they may do."""

    def __init__(self) -> None:
        super().__init__("NO_AUTHORIZER", "the brokers have no authorizer: whoever is let in may do everything")


class Acls:
    """The ACLs of a cluster, asked of any broker."""

    def __init__(self, client: AIOKafkaClient) -> None:
        self._client = client

    async def of_user(self, user: str) -> frozenset[Right]:
        """What a user may do by ACLs of its own, from everywhere.

        Raises:
            NoAuthorizerError: there are none.
            TransientError: this client may not ask, or no broker answers.
        """
        principal = f"User:{user}"
        asked = DescribeAclsRequest(ANY, None, ANY, principal, None, ANY, ANY)
        answer = await self._client.send(self._client.get_random_node(), asked)
        _raise_for(answer.error_code, answer.error_message)
        return frozenset(
            Right(Operation(operation), Resource(kind), name, pattern == PREFIXED)
            for kind, name, pattern, entries in answer.resources
            if kind in list(Resource)
            for _, host, operation, permission in entries
            if host == EVERYWHERE and permission == ALLOW and operation in list(Operation)
        )

    async def give(self, user: str, right: Right) -> None:
        """Make one; raises as ``of_user``."""
        answer = await self._client.send(self._client.get_random_node(), CreateAclsRequest(*_wire(user, right)))
        for code, message in answer.creation_responses:
            _raise_for(code, message)

    async def take(self, user: str, right: Right) -> None:
        """Remove one; raises as ``of_user``."""
        answer = await self._client.send(self._client.get_random_node(), DeleteAclsRequest(*_wire(user, right)))
        for code, message, _ in answer.filter_responses:
            _raise_for(code, message)


def _wire(user: str, right: Right) -> tuple[int, str, int, str, str, int, int]:
    pattern = PREFIXED if right.prefixed else LITERAL
    return right.resource, right.name, pattern, f"User:{user}", EVERYWHERE, right.operation, ALLOW


def _raise_for(code: int, message: str | None) -> None:
    if not code:
        return
    error = for_code(code)
    if error is SecurityDisabled:
        raise NoAuthorizerError
    raise TransientError(f"Kafka refuses: {error.__name__}: {message or ''}")


@asynccontextmanager
async def open_acls(settings: KafkaSettings) -> AsyncGenerator[Acls]:
    """A connection for the length of a block.

    Raises:
        TransientError: no broker can be reached, or one does not answer within the block.
    """
    client = AIOKafkaClient(**settings.client_options(), request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await client.bootstrap()
        yield Acls(client)
    except (KafkaError, OSError) as error:
        raise TransientError(f"Kafka at {settings.kafka}: {type(error).__name__}: {error}") from error
    finally:
        await client.close()


async def give_rights(settings: KafkaSettings, producers: Collection[str] = (), *, finish: bool = False) -> Given:
    """Give every service what the table says, and those who ask for imports what they need.

    Args:
        settings: of a user who may alter ACLs.
        producers: users who may write to ``imports.requested.v1``; nothing is taken from them.
        finish: take what services do not need any more.

    Raises:
        NoAuthorizerError, TransientError: as ``Acls.of_user``.
    """
    made: list[str] = []
    beyond: list[str] = []
    async with open_acls(settings) as acls:
        wanted = {user_of(service): rights_of(service) for service in USERS}
        for user, rights in {**dict.fromkeys(producers, rights_of_producers()), **wanted}.items():
            have = await acls.of_user(user)
            for right in sorted(rights - have):
                await acls.give(user, right)
                made.append(f"{user}: {right}")
            for right in sorted(have - rights) if user in wanted else ():
                if finish:
                    await acls.take(user, right)
                beyond.append(f"{user}: {right}")
    return Given(made, *((beyond, ()) if finish else ((), beyond)))
