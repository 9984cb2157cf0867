"""What the environment may say to the webhooks service."""

from datetime import timedelta
from ipaddress import ip_network

import pytest
from cryptography.fernet import Fernet
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from services.gateway.settings import GatewaySettings
from services.webhooks.domain.schedule import STANDARD_SCHEDULE
from services.webhooks.settings import WebhookSettings

KEY = Fernet.generate_key().decode()


def told(monkeypatch: pytest.MonkeyPatch, **variables: str) -> WebhookSettings:
    monkeypatch.setenv("ROWDOCK_SECRET_KEY", KEY)
    for name, value in variables.items():
        monkeypatch.setenv(f"ROWDOCK_WEBHOOK_{name}", value)
    return WebhookSettings.model_validate({})


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = told(monkeypatch)
    assert settings.webhook_allowed_networks == ()
    assert settings.schedule == STANDARD_SCHEDULE
    assert KEY not in repr(settings)


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = told(monkeypatch, ALLOWED_NETWORKS="127.0.0.0/8, ::1/128,", RETRY_SECONDS="0, 0.01,2")
    assert settings.webhook_allowed_networks == (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert settings.schedule.delays == (timedelta(0), timedelta(milliseconds=10), timedelta(seconds=2))


def test_empty_lists_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = told(monkeypatch, ALLOWED_NETWORKS="", RETRY_SECONDS="")
    assert settings.webhook_allowed_networks == ()
    assert settings.schedule == STANDARD_SCHEDULE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROWDOCK_SECRET_KEY", "c2hvcnQ="),
        ("ROWDOCK_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.1/8"),
        ("ROWDOCK_WEBHOOK_ALLOWED_NETWORKS", "everything"),
        ("ROWDOCK_WEBHOOK_RETRY_SECONDS", "0,-1"),
        ("ROWDOCK_WEBHOOK_RETRY_SECONDS", "soon"),
        ("ROWDOCK_WEBHOOK_LEASE_SECONDS", "15"),
        ("ROWDOCK_WEBHOOK_CONCURRENCY", "0"),
    ],
)
def test_what_cannot_be_meant_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("ROWDOCK_SECRET_KEY", KEY)
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        WebhookSettings.model_validate({})


@pytest.mark.parametrize("settings", [GatewaySettings, WebhookSettings])
def test_a_secret_key_that_is_none_is_not_shown(settings: type[BaseSettings]) -> None:
    with pytest.raises(ValidationError) as refused:
        settings.model_validate({"secret_key": "s3cret"})
    assert "s3cret" not in str(refused.value)
