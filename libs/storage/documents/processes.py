"""Processes of services, as they tell of themselves."""

from datetime import datetime
from typing import ClassVar

from pydantic import Field
from pymongo import DESCENDING, IndexModel

from libs.storage.documents.state_document import StateDocument

FORGOTTEN_AFTER_SECONDS = 86_400
"""A process that was not heard of for so long is not told of any more."""


class ProcessDocument(StateDocument):
    """A process that is at work, or ended without saying so. One that ends in order removes it.

    Attributes:
        version: of the release that it runs.
        seen_at: when it was last heard of (server time).
        clock_ahead_ms: by how much its clock was ahead of the server's then; below zero where it was behind.
        rescues: what it has rescued since its start, by kind.
    """

    service: str
    instance: str
    version: str
    started_at: datetime
    seen_at: datetime
    clock_ahead_ms: int = 0
    rescues: dict[str, int] = Field(default_factory=dict[str, int])

    class Settings:
        name = "processes"
        indexes: ClassVar = [
            IndexModel([("seen_at", DESCENDING)], name="seen", expireAfterSeconds=FORGOTTEN_AFTER_SECONDS),
        ]
