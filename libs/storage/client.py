"""The MongoDB client with the concerns that the promise needs, and the two databases."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import bson
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.monitoring import _EventListener  # pyright: ignore[reportPrivateUsage] - the type of its argument
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from libs.contracts.errors import PermanentError, TransientError
from libs.storage.settings import MongoSettings

Document = dict[str, Any]
Collection = AsyncCollection[Document]
Session = AsyncClientSession
Result = TypeVar("Result")

MAJORITY = WriteConcern(w="majority", j=True, wtimeout=30_000)
READ_MAJORITY = ReadConcern("majority")
SNAPSHOT = ReadConcern("snapshot")
_CODEC: CodecOptions[Document] = CodecOptions(document_class=dict, tz_aware=True, uuid_representation=4)


@dataclass(frozen=True, slots=True)
class Mongo:
    """The client and the two databases of one installation.

    Attributes:
        state: Rowdock's own collections.
        target: imported records, one collection per target resource.
    """

    client: AsyncMongoClient[Document]
    state: AsyncDatabase[Document]
    target: AsyncDatabase[Document]

    async def transaction(self, body: Callable[[Session], Awaitable[Result]]) -> Result:
        """Run ``body`` in one transaction, again from the start after a transient conflict.

        ``body`` must have no effect outside the transaction.
        """
        async with self.client.start_session() as session:
            return await session.with_transaction(
                body, read_concern=SNAPSHOT, write_concern=MAJORITY, read_preference=ReadPreference.PRIMARY
            )

    async def ping(self) -> None:
        """Raise a ``pymongo.errors.PyMongoError`` where the primary cannot be reached."""
        await self.client.admin.command("ping")


async def _require_transactions(client: AsyncMongoClient[Document]) -> None:
    hello = await client.admin.command("hello")
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise PermanentError(
            "NOT_A_REPLICA_SET",
            "MongoDB runs standalone and so has no transactions; start it with --replSet and initiate the set",
        )


async def connect(settings: MongoSettings, listeners: Sequence[_EventListener] = ()) -> Mongo:
    """Connect to the replica set of ``settings``.

    Args:
        settings: where it is.
        listeners: who hears of commands, connections and heartbeats.

    Raises:
        PermanentError: ``NOT_A_REPLICA_SET``; transactions need one.
        pymongo.errors.PyMongoError: the server cannot be reached within 10 s.
    """
    client: AsyncMongoClient[Document] = AsyncMongoClient(
        settings.mongodb.get_secret_value(),
        appname="rowdock",
        retryWrites=True,
        retryReads=True,
        serverSelectionTimeoutMS=10_000,
        connectTimeoutMS=10_000,
        socketTimeoutMS=120_000,
        tz_aware=True,
        uuidRepresentation="standard",
        event_listeners=listeners,
    )
    try:
        await _require_transactions(client)
    except BaseException:
        await client.close()
        raise

    def database(name: str) -> AsyncDatabase[Document]:
        return client.get_database(
            name,
            codec_options=_CODEC,
            read_preference=ReadPreference.PRIMARY,
            read_concern=READ_MAJORITY,
            write_concern=MAJORITY,
        )

    return Mongo(client, database(settings.database), database(settings.target_database))


def sequence_of(session: Session) -> str:
    """A text by which the transactions that change one document are ordered: of two, the later one has the greater.

    It is the server's cluster time as an answer within the transaction tells it: no earlier than what the transaction
    sees, so later than the end of every transaction that has changed before what this one changes; and earlier than its
    own end.

    Raises:
        TransientError: the server has not told any, as for a moment after it has been set up.
    """
    told = session.cluster_time
    if not session.in_transaction or told is None:
        raise TransientError("MongoDB has not told its cluster time within the transaction")
    moment = told["clusterTime"]
    return f"{moment.time:08x}{moment.inc:08x}"


def decode_document(stored: bytes | memoryview) -> Document:
    """A document of the bytes that it is stored as, as a query of ``Mongo`` would return it."""
    return bson.decode(stored, _CODEC)  # pyright: ignore[reportUnknownMemberType]
