"""What operators do with organizations, plans, keys and members: ``python -m services.gateway.admin --help``.

Needs MongoDB only; reads ``ROWDOCK_MONGODB``, ``ROWDOCK_DATABASE`` and ``ROWDOCK_TARGET_DATABASE``, and what makes
secrets of webhooks, and what is done with sources and stored secrets, also ``ROWDOCK_SECRET_KEY`` and the gateway's
other settings of webhooks and sources. Each result is one line of JSON. Exit code 1: it cannot be done, and standard
error says why.
"""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from libs.contracts.plans import Plan
from libs.storage.client import Mongo
from libs.storage.documents import ApiKey, DeadLetter, RateLimits, WebhookEndpoint
from services.gateway.access.administration import Administration
from services.gateway.access.api_keys import ApiKeys, Wanted, new_key, stored_scopes
from services.gateway.access.principal import Scope
from services.gateway.bootstrap import bootstrap
from services.gateway.dead_letters.office import DeadLetterOffice
from services.gateway.delete_organization import DeletionSettings, delete
from services.gateway.http.webhooks.endpoint_views import MAX_OVERLAP_SECONDS, read_new
from services.gateway.operating import (
    Limit,
    OrganizationId,
    acting_operator,
    done,
    mongo_settings,
    print_line,
    with_mongo,
)
from services.gateway.place_organization import place
from services.gateway.producer_commands import producers
from services.gateway.secret_commands import secrets
from services.gateway.settings import GatewaySettings
from services.gateway.source_commands import sources
from services.gateway.stores.dead_letters import LetterStatus
from services.gateway.webhooks.registered import MadeEndpoint, RegisteredEndpoints
from services.gateway.webhooks.sent import SentWebhooks

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
organizations = typer.Typer(help="Organizations.", no_args_is_help=True)
keys = typer.Typer(help="API keys of an organization.", no_args_is_help=True)
members = typer.Typer(help="People in an organization, as Clerk has told.", no_args_is_help=True)
webhooks = typer.Typer(help="Webhook endpoints of an organization, and what was sent to them.", no_args_is_help=True)
dead_letters = typer.Typer(help="Messages that no service could handle.", no_args_is_help=True)
app.add_typer(organizations, name="organizations")
app.add_typer(keys, name="keys")
app.add_typer(members, name="members")
app.add_typer(webhooks, name="webhooks")
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(sources, name="sources")
app.add_typer(producers, name="producers")
app.add_typer(secrets, name="secrets")

KeyId = Annotated[str, typer.Argument(metavar="KEY")]
EndpointId = Annotated[str, typer.Argument(metavar="ENDPOINT")]
DeliveryId = Annotated[str, typer.Argument(metavar="DELIVERY")]
LetterId = Annotated[str, typer.Argument(metavar="LETTER")]
Secret = Annotated[str | None, typer.Option(help="To sign with, whsec_…; a new one if not given.")]
Reads = Annotated[int | None, typer.Option(min=0, help="Reads a minute; 0 for any number, the plan's if not given.")]
Writes = Annotated[int | None, typer.Option(min=0, help="Writes a minute, likewise.")]

# --- organizations ------------------------------------------------------------------------------


@organizations.command("create")
def create_organization(
    name: str,
    *,
    parent: Annotated[str | None, typer.Option(help="The organization that it is below.")] = None,
    plan: Plan = Plan.FREE,
    key_name: str = "first",
) -> None:
    """Create an organization and its first API key, which is shown here and never again."""
    print_line(dict(done(bootstrap(mongo_settings(), name, key_name, new_key(), parent, plan))))


@organizations.command("list")
def list_organizations() -> None:
    """Show all organizations, the newest first."""

    async def work(mongo: Mongo) -> None:
        async for organization in Administration(mongo).organizations():
            print_line(organization)

    with_mongo(work)


@organizations.command("show")
def show_organization(organization: OrganizationId) -> None:
    """Show an organization."""
    print_line(with_mongo(lambda mongo: Administration(mongo).organization(organization)))


@organizations.command("plan")
def put_in_plan(organization: OrganizationId, plan: Plan) -> None:
    """Give an organization a plan."""
    print_line(with_mongo(lambda mongo: Administration(mongo).put_in_plan(organization, plan)))


@organizations.command("place")
def place_organization(
    organization: OrganizationId,
    parent: Annotated[str | None, typer.Option(help="The one that it is to be below; none if not given.")] = None,
) -> None:
    """Place an organization, with everything below it, below another one or none."""
    print_line(done(place(mongo_settings(), organization, parent, move=True)))


@organizations.command("link")
def link(organization: OrganizationId, clerk_id: str) -> None:
    """Let the members of an organization at Clerk (org_…) be those of this one."""
    print_line(with_mongo(lambda mongo: Administration(mongo).link(organization, clerk_id)))


@organizations.command("unlink")
def unlink(organization: OrganizationId) -> None:
    """Let an organization be none of Clerk's; one that was suspended because it was deleted there gets keys again."""
    print_line(with_mongo(lambda mongo: Administration(mongo).unlink(organization)))


@organizations.command("delete")
def delete_organization(
    organization: OrganizationId,
    *,
    keep_records: Annotated[bool, typer.Option(help="Leave the imported records where they are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Really do it; there is no way back.")] = False,
) -> None:
    """Remove an organization with everything that it has."""
    if not yes:
        raise typer.BadParameter("this removes everything that the organization has, and cannot be undone; say --yes")
    removed = done(delete(mongo_settings(), DeletionSettings.model_validate({}), organization, keep=keep_records))
    print_line(asdict(removed))


# --- keys ---------------------------------------------------------------------------------------


@keys.command("create")
def create_key(
    organization: OrganizationId,
    name: str,
    *,
    scope: Annotated[
        list[Scope] | None, typer.Option(help="read, write, admin, operator; read and write if not given.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="When it expires; never if not given.")] = None,
    reads: Reads = None,
    writes: Writes = None,
) -> None:
    """Create a key, which is shown here and never again; its limits may be above those of the plan."""
    wanted = Wanted(
        name,
        frozenset(scope or (Scope.READ, Scope.WRITE)),
        None if days is None else datetime.now(UTC) + timedelta(days=days),
        None if reads is writes is None else RateLimits(reads=reads, writes=writes),
    )

    async def work(mongo: Mongo) -> dict[str, Any]:
        made = await ApiKeys().add(await acting_operator(mongo, organization), wanted, None)
        return {**_shown(made.stored), "api_key": made.key}

    print_line(with_mongo(work))


@keys.command("list")
def list_keys(organization: OrganizationId) -> None:
    """Show the keys of an organization, the newest first."""

    async def work(mongo: Mongo) -> None:
        operator, after, more = await acting_operator(mongo, organization), None, True
        while more:
            found, more = await ApiKeys().page(operator, 100, after)
            for key in found:
                print_line(_shown(key))
                after = key.id

    with_mongo(work)


@keys.command("limit")
def limit_key(organization: OrganizationId, key: KeyId, reads: Reads = None, writes: Writes = None) -> None:
    """Give a key limits of its own, also above those of the plan; without any the plan's hold again."""
    limits = RateLimits(reads=reads, writes=writes)

    async def work(mongo: Mongo) -> dict[str, Any]:
        return _shown(await ApiKeys().limit(await acting_operator(mongo, organization), key, limits))

    print_line(with_mongo(work))


@keys.command("revoke")
def revoke_key(organization: OrganizationId, key: KeyId) -> None:
    """Let a key open nothing from now on."""

    async def work(mongo: Mongo) -> dict[str, Any]:
        return _shown(await ApiKeys().revoke(await acting_operator(mongo, organization), key))

    print_line(with_mongo(work))


# --- members ------------------------------------------------------------------------------------


@members.command("list")
def list_members(organization: OrganizationId) -> None:
    """Show who is in an organization."""

    async def work(mongo: Mongo) -> None:
        async for member in Administration(mongo).members(organization):
            print_line(member)

    with_mongo(work)


# --- webhooks -----------------------------------------------------------------------------------


@webhooks.command("list")
def list_endpoints(organization: OrganizationId, limit: Limit = 100) -> None:
    """Show the endpoints of an organization, those of its templates too, the newest first."""

    async def work(mongo: Mongo) -> None:
        for each in (await SentWebhooks().page(await acting_operator(mongo, organization), limit, None)).items:
            print_line(_without_secrets(each))

    with_mongo(work)


@webhooks.command("create")
def create_endpoint(
    organization: OrganizationId,
    url: str,
    *,
    description: str = "",
    event: Annotated[list[str] | None, typer.Option(help="A type of event that it hears of; all if not given.")] = None,
    template: Annotated[list[str] | None, typer.Option(help="A template that it hears of; all if not given.")] = None,
    secret: Secret = None,
) -> None:
    """Register an endpoint for events; its secret is shown here and never again."""
    wanted = {"url": url, "description": description, "event_types": event or None, "template_ids": template or None}

    async def work(mongo: Mongo) -> dict[str, Any]:
        asked, given = read_new({**wanted, "secret": secret})
        return _with_secret(await _endpoints().add(await acting_operator(mongo, organization), asked, given))

    print_line(with_mongo(work))


@webhooks.command("rotate")
def rotate_secret(
    organization: OrganizationId,
    endpoint: EndpointId,
    *,
    overlap: Annotated[
        int, typer.Option(min=0, max=MAX_OVERLAP_SECONDS, help="Seconds in which the present one is used too.")
    ] = 86_400,
    secret: Secret = None,
) -> None:
    """Replace the secret that an endpoint's webhooks are signed with; the new one is shown here and never again."""

    async def work(mongo: Mongo) -> dict[str, Any]:
        operator, longest = await acting_operator(mongo, organization), timedelta(seconds=overlap)
        return _with_secret(await _endpoints().rotate(operator, endpoint, secret, longest))

    print_line(with_mongo(work))


@webhooks.command("deliveries")
def list_deliveries(
    organization: OrganizationId, endpoint: EndpointId, status: str | None = None, limit: Limit = 100
) -> None:
    """Show what was sent to an endpoint, or is to be, the newest first."""

    async def work(mongo: Mongo) -> None:
        operator = await acting_operator(mongo, organization)
        for each in (await SentWebhooks().deliveries(operator, endpoint, status, limit, None)).items:
            print_line(each)

    with_mongo(work)


@webhooks.command("show")
def show_delivery(organization: OrganizationId, delivery: DeliveryId) -> None:
    """Show a delivery with every attempt."""

    async def work(mongo: Mongo) -> dict[str, Any]:
        found = await SentWebhooks().delivery(await acting_operator(mongo, organization), delivery)
        return found.model_dump(mode="json")

    print_line(with_mongo(work))


@webhooks.command("enable")
def enable_endpoint(organization: OrganizationId, endpoint: EndpointId) -> None:
    """Switch an endpoint on again."""

    async def work(mongo: Mongo) -> dict[str, Any]:
        return _without_secrets(await SentWebhooks().enable(await acting_operator(mongo, organization), endpoint))

    print_line(with_mongo(work))


@webhooks.command("test")
def test_endpoint(organization: OrganizationId, endpoint: EndpointId) -> None:
    """Send a test; see the delivery for how it went."""

    async def work(mongo: Mongo) -> dict[str, Any]:
        return (await SentWebhooks().test(await acting_operator(mongo, organization), endpoint)).model_dump(mode="json")

    print_line(with_mongo(work))


@webhooks.command("resend")
def resend_delivery(organization: OrganizationId, delivery: DeliveryId) -> None:
    """Send a delivery again."""

    async def work(mongo: Mongo) -> dict[str, Any]:
        found = await SentWebhooks().resend(await acting_operator(mongo, organization), delivery)
        return found.model_dump(mode="json")

    print_line(with_mongo(work))


@webhooks.command("replay")
def replay_deliveries(
    organization: OrganizationId,
    endpoint: EndpointId,
    since: datetime,
    *,
    until: datetime | None = None,
    delivered: Annotated[bool, typer.Option(help="Also what was delivered.")] = False,
) -> None:
    """Send again what failed, or was not sent, of the events from then (UTC) on."""
    states = ["failed", "disabled", *(["delivered"] if delivered else [])]
    begin, end = since.replace(tzinfo=UTC), None if until is None else until.replace(tzinfo=UTC)

    async def work(mongo: Mongo) -> dict[str, Any]:
        done = await SentWebhooks().replay(await acting_operator(mongo, organization), endpoint, states, begin, end)
        return {"deliveries": done.deliveries, "next_since": done.next_since and done.next_since.isoformat()}

    print_line(with_mongo(work))


def _endpoints() -> RegisteredEndpoints:
    gateway = GatewaySettings.model_validate({})
    return RegisteredEndpoints(gateway.secret_keys, gateway.webhook_allowed_networks)


def _with_secret(made: MadeEndpoint) -> dict[str, Any]:
    return {**_without_secrets(made.endpoint), "secret": made.secret}


def _without_secrets(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return endpoint.model_dump(mode="json", exclude={"encrypted_secret", "previous_secret"})


# --- dead letters -------------------------------------------------------------------------------


@dead_letters.command("list")
def list_letters(*, status: LetterStatus | None = None, topic: str | None = None, limit: Limit = 100) -> None:
    """Show messages that no service could handle, the newest first, with why."""

    async def work(mongo: Mongo) -> None:
        for each in (await DeadLetterOffice(mongo).page(status, topic, limit, None)).items:
            print_line(_readable(each))

    with_mongo(work)


@dead_letters.command("show")
def show_letter(letter: LetterId) -> None:
    """Show a message as it came, and why it could not be handled."""
    print_line(_readable(with_mongo(lambda mongo: DeadLetterOffice(mongo).get(letter))))


@dead_letters.command("replay")
def replay_letter(letter: LetterId) -> None:
    """Let a gateway publish a message on its topic once more."""
    print_line(_readable(with_mongo(lambda mongo: DeadLetterOffice(mongo).replay(letter, "operator"))))


@dead_letters.command("discard")
def discard_letter(letter: LetterId, reason: str) -> None:
    """Say that nothing is to be done about a message, and why."""
    print_line(_readable(with_mongo(lambda mongo: DeadLetterOffice(mongo).discard(letter, "operator", reason))))


def _readable(letter: DeadLetter) -> dict[str, Any]:
    """A letter as JSON; bytes that are no UTF-8 as \\xff."""
    known = letter.model_dump(mode="json", exclude={"key", "value", "headers", "lease_until"}, exclude_none=True)
    headers = {each["name"]: _text(each["value"]) for each in letter.headers}
    return {**known, "key": _text(letter.key), "value": _text(letter.value), "headers": headers}


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode(errors="backslashreplace")


def _shown(key: ApiKey) -> dict[str, Any]:
    shown = key.model_dump(mode="json", exclude={"digest"})
    return {**shown, "scopes": sorted(stored_scopes(key.scopes))}


if __name__ == "__main__":
    app()
