"""Which endpoints of an organization hear of an event."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Listener:
    """An endpoint that belongs to no template.

    Attributes:
        event_types: the only ones that it hears of; ``None`` for all.
        template_ids: the only templates of whose runs it hears; ``None`` for all.
        since: it hears of nothing that was before.
    """

    id: str
    event_types: frozenset[str] | None
    template_ids: frozenset[str] | None
    since: datetime

    def hears(self, event_type: str, template_id: str | None, at: datetime) -> bool:
        """Whether it hears of an event of that type; without a template, of one that is about no run."""
        if at < self.since or not _passes(self.event_types, event_type):
            return False
        return template_id is None or _passes(self.template_ids, template_id)


def _passes(only: frozenset[str] | None, name: str) -> bool:
    return only is None or name in only
