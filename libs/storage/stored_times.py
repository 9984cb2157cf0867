"""Times as MongoDB stores them, and as its server counts them."""

from datetime import UTC, datetime

from libs.storage.client import Document


def as_stored(moment: datetime) -> datetime:
    """A time of the same zone to the millisecond, which is what comes back when it is read."""
    return moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)


def now_as_stored() -> datetime:
    """Now, so that what is answered first is what is shown later."""
    return as_stored(datetime.now(UTC))


def seconds_from_now(seconds: float) -> Document:
    """An expression: the server's time, so much later; earlier where it is negative."""
    return {"$dateAdd": {"startDate": "$$NOW", "unit": "millisecond", "amount": int(seconds * 1000)}}
