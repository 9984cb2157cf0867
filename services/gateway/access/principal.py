"""Who asks."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self


class Scope(StrEnum):
    """What a key may be used for."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    """To manage the API keys of the organization."""
    OPERATOR = "operator"
    """To see what concerns all organizations; given by the command line only."""


ALL_SCOPES = frozenset(Scope) - {Scope.OPERATOR}
"""What an organization may do with what it has."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks for something, as whom every capability acts.

    Attributes:
        tenant_id: the organization that is acted for; nothing of any other is ever seen or changed.
        subject: the person or program, for the log: ``key:`` and the name of the API key.
        key_id: id of the API key.
        scopes: what may be done.
        acts_from: the organization of the key, where that is another one; only ``Reach`` decides that.
        reach: further organizations whose things lists show; only ``Reach`` says which. Nothing is changed by them.
        expires_at: when the session token of a person is no longer good, in seconds since 1970; ``None`` of API keys.
    """

    tenant_id: str
    subject: str
    key_id: str
    scopes: frozenset[Scope] = ALL_SCOPES
    acts_from: str | None = None
    reach: tuple[str, ...] = ()
    expires_at: float | None = None

    @property
    def by_key(self) -> bool:
        """Whether it is a program with an API key, which may be revoked; otherwise a person with a session."""
        return self.expires_at is None

    @property
    def home(self) -> str:
        """The organization of the key, whose requests are counted and shared."""
        return self.acts_from or self.tenant_id

    def acting_for(self, tenant_id: str) -> Self:
        """The same, for another organization. Whether that may be is for ``Reach`` to judge."""
        if tenant_id == self.tenant_id:
            return self
        return replace(self, tenant_id=tenant_id, acts_from=self.home, reach=())
