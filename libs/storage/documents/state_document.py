"""What all of Rowdock's own documents have in common."""

from beanie import Document
from pydantic import Field


class StateDocument(Document):
    """A document whose ``_id`` is text."""

    id: str = Field(default=..., alias="_id")  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues]
