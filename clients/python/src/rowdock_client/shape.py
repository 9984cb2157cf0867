"""The base of everything that is sent and answered."""

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    """What is sent or answered; members that this release does not know are kept as they came."""

    model_config = ConfigDict(extra="allow", frozen=True)
