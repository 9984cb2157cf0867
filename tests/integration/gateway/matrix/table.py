"""Every route of the gateway, as it stands in the route table, and what the matrices have to know of it.

A new route is taken in by itself where its path names nothing but what ``NAMED`` and ``SHARED`` know. Where it is
about something else, or is asked for something that only its body names, the matrices fail and say which entry it
needs here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from litestar import Litestar
from litestar.routes import HTTPRoute

from services.gateway.access.principal import Scope
from tests.integration.gateway.steps import CSV, PRODUCER, importer_body, source_body, template_body

Route = tuple[str, str]
"""Method and path, such as ``GET`` and ``/imports/runs/{run_id}``."""
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})

NAMED = frozenset(
    {
        "template_id", "run_id", "record_id", "importer_id", "import_id", "key_id", "identifier", "endpoint_id",
        "producer_id", "delivery_id", "source_id",
    }
)  # fmt: skip
"""Parameters of paths that are ids of something that one organization has."""
SHARED = {"resource": "products", "letter_id": "0" * 32}
"""Parameters of paths that several organizations may mean, each its own things by it."""
OPEN = frozenset({("POST", "/api/v1/clerk/webhook")})
"""Routes without a key: something else says who asks."""
ADMINISTERED = ("/api/v1/api-keys", "/api/v1/request-producers")
"""What stands below these addresses takes the scope ``admin``, whatever the method."""

OPERATED = ("/api/v1/dead-letters", "/api/v1/admin")
"""What stands below these addresses is for operators, who see what concerns all organizations."""

ENDLESS = frozenset({("GET", "/imports/runs/{run_id}/events"), ("GET", "/api/v1/imports/{import_id}/events")})
"""Answers that go on as long as what they tell of does; nobody is asked for them who would get one."""

BRANDING = ("PUT", "/api/v1/organization/branding")
_BULK = {"code": "REQUIRED", "field": "sku", "change": {"type": "clear"}}
_COLUMNS = [{"key": "sku", "name": "SKU", "type": "string"}]
_FILE = {"file": ("p.csv", CSV)}


@dataclass(frozen=True)
class Good:
    """What makes a request one that is done for whoever has what it names; ids are filled in as in a path."""

    json: Any = None
    form: Mapping[str, str] = field(default_factory=dict[str, str])
    file: bool = False
    query: Mapping[str, str] = field(default_factory=dict[str, str])

    def names_something(self) -> bool:
        members = self.json.values() if isinstance(self.json, dict) else ()
        named = [value for value in members if isinstance(value, str)]
        return any("{" in value for value in (*self.form.values(), *self.query.values(), *named))


GOOD: dict[Route, Good] = {
    ("GET", "/imports/rejected"): Good(query={"run_id": "{run_id}"}),
    ("GET", "/imports/runs"): Good(query={"limit": "100"}),
    ("POST", "/imports/templates"): Good(template_body()),
    ("PUT", "/imports/templates/{template_id}"): Good(template_body()),
    ("POST", "/imports/upload"): Good(form={"template_id": "{template_id}"}, file=True),
    ("POST", "/imports/dry-run"): Good(form={"template_id": "{template_id}"}, file=True),
    ("POST", "/imports/preview"): Good(form={"template_id": "{template_id}"}, file=True),
    ("PUT", "/imports/rejected/{record_id}"): Good({"corrected_data": {"name": "Bolt"}}),
    ("POST", "/imports/runs/{run_id}/correct-all"): Good(_BULK),
    ("POST", "/imports/runs/{run_id}/rejected"): Good(file=True),
    ("POST", "/imports/runs/{run_id}/retry-all"): Good(query={"include_uncorrected": "true"}),
    ("POST", "/api/v1/importers"): Good(importer_body()),
    ("PUT", "/api/v1/importers/{importer_id}"): Good({"name": "Mine"}),
    ("POST", "/api/v1/imports"): Good(form={"importer_id": "{importer_id}", "mapping": '{"sku": "sku"}'}, file=True),
    ("POST", "/api/v1/templates"): Good({"name": "Products", "columns": _COLUMNS}),
    ("PATCH", "/api/v1/templates/{template_id}"): Good({"name": "Mine"}),
    ("POST", "/api/v1/api-keys"): Good({"name": "another"}),
    ("POST", "/api/v1/api-keys/{key_id}/rotate"): Good({}),
    ("POST", "/api/v1/request-producers"): Good(PRODUCER),
    ("POST", "/api/v1/webhook-endpoints"): Good({"url": "https://example.com/hooks"}),
    ("PATCH", "/api/v1/webhook-endpoints/{endpoint_id}"): Good({"description": "mine"}),
    ("POST", "/api/v1/webhook-endpoints/{endpoint_id}/replay"): Good({"since": "2020-01-01T00:00:00Z"}),
    ("POST", "/api/v1/sources"): Good(source_body("{template_id}")),
    ("PATCH", "/api/v1/sources/{source_id}"): Good({"name": "mine"}),
    ("POST", "/api/v1/dead-letters/{letter_id}/discard"): Good({"reason": "a test"}),
    BRANDING: Good({"primaryColor": "#112233"}),
    ("POST", "/api/v1/clerk/webhook"): Good({}),
}
"""Of routes that need more than their path."""


def routes(app: Litestar) -> Iterator[Route]:
    """Every route there is, in order; the document of the API is no such route, it is the same for everybody."""
    found = {
        (method, route.path_format)
        for route in app.routes
        if isinstance(route, HTTPRoute) and not route.path.startswith("/schema")
        for handler in route.route_handlers
        for method in handler.http_methods
        if method in METHODS
    }
    yield from sorted(found, key=lambda each: (each[1], each[0]))


def parameters(path: str) -> set[str]:
    """The parameters of a path."""
    return {part[1:-1] for part in path.split("/") if part.startswith("{")}


def names_something(route: Route) -> bool:
    """Whether a request names what one organization has, in its path or elsewhere."""
    return bool(parameters(route[1]) & NAMED) or GOOD.get(route, Good()).names_something()


def needed_scope(route: Route) -> Scope:
    """What a key has to have."""
    method, path = route
    if path.startswith(OPERATED):
        return Scope.OPERATOR
    if path.startswith(ADMINISTERED):
        return Scope.ADMIN
    return Scope.READ if method == "GET" else Scope.WRITE


def _named(body: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 - any JSON
    """A body whose members name what they are asked for."""
    if not isinstance(body, dict):
        return body
    return {
        key: value.format(**names) if isinstance(value, str) and value.startswith("{") else value
        for key, value in body.items()
    }


async def ask(
    http: httpx.AsyncClient, route: Route, ids: Mapping[str, str], method: str | None = None, **headers: str
) -> httpx.Response:
    """Ask at a route for what ``ids`` name; ``method`` instead of the route's own."""
    good = GOOD.get(route, Good())
    if route[1].startswith("/api/v1/templates/"):
        ids = {**ids, "template_id": ids["rowporter_template_id"]}
    names = {**SHARED, **ids}
    body: dict[str, Any] = {} if good.json is None else {"json": _named(good.json, names)}
    if good.form or good.file:
        form = {name: value if name == "mapping" else value.format(**names) for name, value in good.form.items()}
        body = {"data": form, "files": _FILE}
    query = {name: value.format(**names) for name, value in good.query.items()}
    return await http.request(
        method or route[0], route[1].format(**names), params=query, headers=headers, timeout=60, **body
    )
