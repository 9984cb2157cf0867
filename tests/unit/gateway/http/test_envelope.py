"""Errors of capabilities become HTTP statuses in one place."""

from services.gateway.errors import GatewayError
from services.gateway.http.envelope import STATUSES


def test_every_error_of_a_capability_has_a_status() -> None:
    assert set(GatewayError.__subclasses__()) == set(STATUSES)
