"""Who asks."""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a key may be used for."""

    READ = "read"
    WRITE = "write"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks for something, as whom every capability acts.

    Attributes:
        tenant_id: the organization; nothing of any other is ever seen or changed.
        subject: the person or program, for the log: ``key:`` and the name of the API key.
        key_id: id of the API key.
        scopes: what may be done.
    """

    tenant_id: str
    subject: str
    key_id: str
    scopes: frozenset[Scope] = ALL_SCOPES
