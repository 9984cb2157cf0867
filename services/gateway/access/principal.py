"""Who asks."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self


class Scope(StrEnum):
    """What a key may be used for."""

    READ = "read"
    WRITE = "write"


ALL_SCOPES = frozenset(Scope)


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
    """

    tenant_id: str
    subject: str
    key_id: str
    scopes: frozenset[Scope] = ALL_SCOPES
    acts_from: str | None = None
    reach: tuple[str, ...] = ()

    @property
    def home(self) -> str:
        """The organization of the key, whose requests are counted and shared."""
        return self.acts_from or self.tenant_id

    def acting_for(self, tenant_id: str) -> Self:
        """The same, for another organization. Whether that may be is for ``Reach`` to judge."""
        if tenant_id == self.tenant_id:
            return self
        return replace(self, tenant_id=tenant_id, acts_from=self.home, reach=())
