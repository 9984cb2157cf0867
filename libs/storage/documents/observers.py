"""Who counts over the whole state for the metrics."""

from datetime import datetime
from typing import Final

from libs.storage.documents.state_document import StateDocument

OBSERVER_ID: Final = "state"


class ObserverDocument(StateDocument):
    """There is one, ``OBSERVER_ID``: the process that counts, and until when nobody else does (server time)."""

    owner: str
    until: datetime

    class Settings:
        name = "observers"
