"""How long a client would wait for a result: the header ``Prefer: wait=SECONDS`` (RFC 7240)."""

import re
from typing import Annotated

from litestar.params import HeaderParameter

WAIT = re.compile(r"(?i)\s*wait\s*=\s*\"?([0-9]{1,4})\"?\s*")

Prefer = Annotated[
    str | None,
    HeaderParameter(
        name="Prefer",
        max_length=200,
        description="`wait=SECONDS`: answer no later with the run as it is then, `wait=0` at once.",
    ),
]


def patience(prefer: str | None) -> float | None:
    """Seconds that the client would wait at most; ``None`` where it does not say. What is no such preference is none,
    as the RFC has it."""
    for preference in (prefer or "").split(","):
        if found := WAIT.fullmatch(preference.partition(";")[0]):
            return float(found[1])
    return None
