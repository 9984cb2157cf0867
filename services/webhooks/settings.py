"""Settings of the webhooks service."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from libs.egress.rules import IPNetwork
from libs.storage.sealing import SecretKeys, SecretKeysText
from services.webhooks.domain.health import HealthRules
from services.webhooks.domain.schedule import STANDARD_SCHEDULE, RetrySchedule


def _items(value: Any) -> Any:  # noqa: ANN401 - text of the environment, or what a caller gave
    return tuple(item.strip() for item in value.split(",") if item.strip()) if isinstance(value, str) else value


def _networks(value: Any) -> Any:  # noqa: ANN401
    return tuple(map(ip_network, _items(value)))


class WebhookSettings(BaseSettings):
    """Read from ``ROWDOCK_…``.

    Attributes:
        secret_key: Fernet key that the gateway encrypts the receivers' signing secrets with; several as there.
        webhook_allowed_networks: networks, separated by commas, that receivers may be in although they are private or
            plain http, e.g. ``127.0.0.0/8`` on a developer's machine.
        webhook_retry_seconds: seconds, separated by commas, before the first attempt, the second and so on, in place of
            the standard schedule.
        webhook_concurrency: most attempts at once in this process; an organization gets a further one while it has
            fewer than are free, so half of them if it is alone.
        webhook_concurrency_per_endpoint: most of them for one receiver, and one as long as it takes more than two
            seconds for an answer, so that a slow one does not hold up others.
        webhook_timeout_seconds: longest attempt.
        webhook_lease_seconds: a delivery that a process took and left for this long is tried by another.
        webhook_pause_after: so many failures in a row pause a receiver: its deliveries wait and use up none of their
            attempts.
        webhook_pause_seconds: how long it is paused first; twice as long each time the attempt after it fails.
        webhook_longest_pause_seconds: at most so long.
        webhook_give_up_days: a receiver that answers nothing with 2xx for so long is switched off.
        webhook_poll_seconds: how often due deliveries that nothing announced are looked for.
    """

    model_config = SettingsConfigDict(env_prefix="ROWDOCK_", extra="ignore", hide_input_in_errors=True)

    secret_key: SecretKeysText
    webhook_allowed_networks: Annotated[tuple[IPNetwork, ...], NoDecode, BeforeValidator(_networks)] = ()
    webhook_retry_seconds: Annotated[
        tuple[Annotated[float, Field(ge=0)], ...] | None, NoDecode, BeforeValidator(_items)
    ] = None
    webhook_concurrency: int = Field(default=32, ge=1)
    webhook_concurrency_per_endpoint: int = Field(default=4, ge=1)
    webhook_timeout_seconds: float = Field(default=15, gt=0)
    webhook_lease_seconds: float = Field(default=30, gt=0)
    webhook_pause_after: int = Field(default=10, ge=1)
    webhook_pause_seconds: float = Field(default=30, gt=0)
    webhook_longest_pause_seconds: float = Field(default=600, gt=0)
    webhook_give_up_days: float = Field(default=5, gt=0)
    webhook_poll_seconds: float = Field(default=1, gt=0)

    @model_validator(mode="after")
    def _lease_outlasts_an_attempt(self) -> Self:
        if self.webhook_lease_seconds <= self.webhook_timeout_seconds:
            raise ValueError("webhook_lease_seconds must be more than webhook_timeout_seconds")
        return self

    @property
    def secret_keys(self) -> SecretKeys:
        """``secret_key``, to be used."""
        return SecretKeys(self.secret_key.get_secret_value())

    @property
    def health_rules(self) -> HealthRules:
        """When receivers are paused, and given up."""
        return HealthRules(
            failures=self.webhook_pause_after,
            first_pause=timedelta(seconds=self.webhook_pause_seconds),
            longest_pause=timedelta(seconds=self.webhook_longest_pause_seconds),
            give_up=timedelta(days=self.webhook_give_up_days),
        )

    @property
    def schedule(self) -> RetrySchedule:
        """When deliveries are tried."""
        if not self.webhook_retry_seconds:
            return STANDARD_SCHEDULE
        return replace(
            STANDARD_SCHEDULE, delays=tuple(timedelta(seconds=seconds) for seconds in self.webhook_retry_seconds)
        )
