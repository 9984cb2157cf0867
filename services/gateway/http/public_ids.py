"""What clients call things: kinds, and ids as vocabularies write them (the model's own UUIDs, prefixed)."""

from collections.abc import Generator
from contextlib import contextmanager

from litestar.params import FromPath

from libs.contracts.ids import of_prefixed, of_uuid
from services.gateway.errors import NotFoundError, not_found

Id = FromPath[str]
"""An id in a path."""


def model_id(given: str) -> str:
    """The id that a client means. What is no id of any vocabulary stays as it is: nothing is found by it."""
    return of_prefixed(given) or of_uuid(given) or given


@contextmanager
def asked_for(kind: str, given: str) -> Generator[None]:
    """What a capability does not find is told in the client's words.

    Args:
        kind: what the vocabulary calls such a thing.
        given: the id as the client has it.
    """
    try:
        yield
    except NotFoundError as error:
        raise not_found(kind, given) from error
