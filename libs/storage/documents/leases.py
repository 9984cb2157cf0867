"""Who is at work on something."""

from datetime import datetime

from pydantic import BaseModel


class Lease(BaseModel):
    """Who is at work on something and until when it is believed alive (server time)."""

    owner: str
    until: datetime
