"""Rowdock's Python client: typed, synchronous (``Rowdock``) and asynchronous (``AsyncRowdock``)."""

from rowdock_client.client import AsyncRowdock, Rowdock
from rowdock_client.errors import (
    ConflictError,
    InvalidRequestError,
    NotAllowedError,
    NotFoundError,
    NotReachableError,
    RefusedError,
    RowdockError,
    RunFailedError,
    ServerFaultError,
    TimeIsUpError,
    TooManyError,
    UnexpectedAnswerError,
)
from rowdock_client.exchange import Retries
from rowdock_client.sources import Source

__all__ = [
    "AsyncRowdock",
    "ConflictError",
    "InvalidRequestError",
    "NotAllowedError",
    "NotFoundError",
    "NotReachableError",
    "RefusedError",
    "Retries",
    "Rowdock",
    "RowdockError",
    "RunFailedError",
    "ServerFaultError",
    "Source",
    "TimeIsUpError",
    "TooManyError",
    "UnexpectedAnswerError",
]
