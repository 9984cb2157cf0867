"""How long a client would wait, by the header ``Prefer``."""

import pytest

from services.gateway.http.patience import patience


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, None),
        ("", None),
        ("wait=0", 0),
        ("respond-async, wait=10", 10),
        ('WAIT="5"; foo', 5),
        (" wait = 7 ", 7),
        ("wait", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=99999", None),
        ("waiting=3", None),
        ("return=minimal", None),
    ],
)
def test_only_the_wait_is_read(prefer: str | None, seconds: float | None) -> None:
    assert patience(prefer) == seconds
