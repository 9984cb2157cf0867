"""Branding, as it is documented: every member, default, check and restriction."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from libs.contracts.branding import Branding
from libs.storage.client import Mongo
from services.gateway.stores.organizations import OrganizationStore
from services.gateway.templates.turns import MAX_WAITING
from tests.integration.gateway.conftest import Organization

pytestmark = pytest.mark.servers

URL = "/api/v1/organization/branding"
DEFAULTS: dict[str, Any] = {
    "primaryColor": "#3B82F6",
    "secondaryColor": "#1E40AF",
    "accentColor": "#10B981",
    "backgroundColor": "#FFFFFF",
    "textColor": "#111827",
    "borderColor": "#E5E7EB",
    "errorColor": "#EF4444",
    "successColor": "#22C55E",
    "logoUrl": None,
    "faviconUrl": None,
    "showPoweredBy": True,
    "fontFamily": "Inter, system-ui, sans-serif",
    "headingFontFamily": "Inter, system-ui, sans-serif",
    "fontSize": "medium",
    "borderRadius": "medium",
    "buttonStyle": "filled",
    "headerStyle": "default",
    "customCss": None,
    "customWelcomeText": None,
    "customSuccessText": None,
    "customErrorText": None,
    "locale": "en",
}
OTHERS: dict[str, Any] = {
    **{name: "#ABC" for name in DEFAULTS if name.endswith("Color")},
    "logoUrl": "https://example.com/logo.png",
    "faviconUrl": "https://example.com/favicon.ico",
    "showPoweredBy": False,
    "fontFamily": "Arial",
    "headingFontFamily": '"Open Sans", serif',
    "fontSize": "large",
    "borderRadius": "full",
    "buttonStyle": "ghost",
    "headerStyle": "default",
    "customCss": ".button { color: #fff }",
    "customWelcomeText": "Welcome",
    "customSuccessText": "Done",
    "customErrorText": "Oh",
    "locale": "ko",
}
CHOICES = {
    "fontSize": ["small", "medium", "large"],
    "borderRadius": ["none", "small", "medium", "large", "full"],
    "buttonStyle": ["filled", "outline", "ghost"],
    "locale": ["en", "es", "fr", "de", "pt", "it", "nl", "ja", "zh", "ko"],
}


async def let_have(mongo: Mongo, organization: Organization, plan: str) -> None:
    await mongo.state["organizations"].update_one({"_id": organization.id}, {"$set": {"plan": plan}})


@pytest.fixture
async def paying(acme: Organization, mongo: Mongo) -> httpx.AsyncClient:
    """The client of an organization with a plan that has everything."""
    await let_have(mongo, acme, "starter")
    return acme.http


async def shown(http: httpx.AsyncClient) -> dict[str, Any]:
    answer = await http.get(URL)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


async def change(http: httpx.AsyncClient, **changes: object) -> None:
    answer = await http.put(URL, json=changes)
    assert (answer.status_code, answer.json()) == (
        200,
        {"success": True, "message": "Branding settings updated successfully"},
    )


def assert_refused(answer: httpx.Response, status: int, code: str) -> str:
    assert (answer.status_code, set(answer.json())) == (status, {"error"}), answer.text
    error = answer.json()["error"]
    assert (set(error), error["code"]) == ({"code", "message"}, code)
    return error["message"]


async def test_defaults(http: httpx.AsyncClient) -> None:
    assert await shown(http) == DEFAULTS
    assert set(OTHERS) == set(DEFAULTS)


@pytest.mark.parametrize("name", OTHERS)
async def test_each_member_is_changed_on_its_own(paying: httpx.AsyncClient, name: str) -> None:
    await change(paying, **{name: OTHERS[name]})
    assert await shown(paying) == DEFAULTS | {name: OTHERS[name]}


async def test_what_is_answered_can_be_sent_back(paying: httpx.AsyncClient) -> None:
    await change(paying, **OTHERS)
    await change(paying, **await shown(paying))
    await change(paying)
    assert await shown(paying) == OTHERS
    texts = {name: None for name, value in DEFAULTS.items() if value is None}
    await change(paying, **texts)
    assert await shown(paying) == OTHERS | texts


@pytest.mark.parametrize(("name", "choice"), [(name, each) for name, choices in CHOICES.items() for each in choices])
async def test_every_choice(paying: httpx.AsyncClient, name: str, choice: str) -> None:
    await change(paying, **{name: choice})
    assert (await shown(paying))[name] == choice


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"primaryColor": "blue"}, "primaryColor must be a colour in hexadecimal"),
        ({"primaryColor": None}, "primaryColor must be a text"),
        ({"logoUrl": "http://example.com/a.png"}, "logoUrl: the URL must start with https://"),
        ({"faviconUrl": "https://10.0.0.1/a.png"}, "faviconUrl: 10.0.0.1 may not be reached"),
        ({"showPoweredBy": "no"}, "showPoweredBy must be true or false"),
        ({"fontFamily": "a;b"}, "fontFamily must be names of fonts"),
        ({"fontSize": "huge"}, "fontSize must be one of 'small', 'medium' or 'large'"),
        ({"borderRadius": 3}, "borderRadius must be one of"),
        ({"buttonStyle": "3d"}, "buttonStyle must be one of"),
        ({"headerStyle": "x"}, "headerStyle must be"),
        ({"customCss": "@import 'x';"}, "customCss: line 1, column 1: @import is not allowed"),
        ({"customWelcomeText": 7}, "customWelcomeText must be a text"),
        ({"locale": "pl"}, "locale must be one of"),
        ({"colour": "#fff"}, "'colour' is unknown here"),
        ([], "must be a JSON object"),
        ({"primaryColor": 1, "locale": 1}, "; primaryColor must be a text"),
    ],
)
async def test_what_is_refused(paying: httpx.AsyncClient, changes: object, said: str) -> None:
    message = assert_refused(await paying.put(URL, json=changes), 400, "VALIDATION_ERROR")
    assert message.startswith("Validation error: ")
    assert said in message
    assert await shown(paying) == DEFAULTS


async def test_other_refusals_have_the_same_shape(http: httpx.AsyncClient) -> None:
    json_type = {"Content-Type": "application/json"}
    assert_refused(await http.put(URL, content=b"{", headers=json_type), 400, "BAD_REQUEST")
    assert_refused(await http.get(URL, params={"x": "1"}), 400, "BAD_REQUEST")
    assert_refused(await http.get(URL, headers={"Authorization": "Bearer nobody"}), 401, "UNAUTHORIZED")
    assert_refused(await http.get(URL, params={"tenant_id": "nobody"}), 404, "NOT_FOUND")
    assert_refused(await http.put(URL, content=b"x", headers={"Content-Type": "text/css"}), 415, "NOT_JSON")


async def test_the_free_plan(acme: Organization, mongo: Mongo) -> None:
    http = acme.http
    await change(http, primaryColor="#000000", secondaryColor="#111111", logoUrl="https://example.com/x.png")
    free = DEFAULTS | {
        "primaryColor": "#000000", "secondaryColor": "#111111", "logoUrl": "https://example.com/x.png",
    }  # fmt: skip
    assert await shown(http) == free
    for name in set(OTHERS) - {"primaryColor", "secondaryColor", "logoUrl", "headerStyle"}:
        refused = await http.put(URL, json={name: OTHERS[name], "primaryColor": "#222222"})
        assert assert_refused(refused, 403, "PLAN_RESTRICTED") == (
            f"{name} needs the Starter plan or above; the organization has the Free plan"
        )
    await change(http, **free)
    assert await shown(http) == free
    # What a larger plan had allowed rests while the plan is smaller.
    await let_have(mongo, acme, "starter")
    await change(http, showPoweredBy=False, customCss=".a { color: #fff }")
    await let_have(mongo, acme, "free")
    assert await shown(http) == free
    await let_have(mongo, acme, "starter")
    assert await shown(http) == free | {"showPoweredBy": False, "customCss": ".a { color: #fff }"}


async def test_changes_at_the_same_time_are_all_kept(
    paying: httpx.AsyncClient, acme: Organization, mongo: Mongo
) -> None:
    names = [name for name in OTHERS if OTHERS[name] != DEFAULTS[name]]
    few = asyncio.Semaphore(MAX_WAITING // 2)  # more of one organization at once are refused

    async def change_one(name: str) -> None:
        async with few:
            await change(paying, **{name: OTHERS[name]})

    await asyncio.gather(*map(change_one, names))
    assert await shown(paying) == OTHERS
    stored = await mongo.state["branding"].find_one({"_id": acme.id})
    assert stored is not None
    assert set(stored) == {"_id", "settings", "version", "created_at", "updated_at"}
    assert set(stored["settings"]) == set(Branding.model_fields) - {"header_style"}


async def test_one_of_each_organization_which_goes_with_it(
    paying: httpx.AsyncClient,
    acme: Organization,
    mongo: Mongo,
    new_organization: Callable[[], Awaitable[Organization]],
) -> None:
    other = await new_organization()
    await change(paying, primaryColor="#000000")
    await change(other.http, primaryColor="#FFFFFF")
    assert (await shown(paying))["primaryColor"] == "#000000"
    assert await OrganizationStore(mongo).remove_configuration(acme.id) == 1
    assert await mongo.state["branding"].find_one({"_id": acme.id}) is None
    assert (await shown(other.http))["primaryColor"] == "#FFFFFF"
