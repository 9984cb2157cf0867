"""Parameters of a query: only those that a route declares, and each of them once.

What a route declares is read from its handler, so a new route has nothing to add here.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from http import HTTPStatus
from itertools import islice
from typing import Any, cast

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.routes import HTTPRoute

from services.gateway.errors import Problem
from services.gateway.http.envelope import INVALID_PARAMETER, ApiError
from services.gateway.http.places import path_text
from services.gateway.shown import shown

MAX_PROBLEMS = 5

AnyConnection = ASGIConnection[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True)
class _Declared:
    """The parameters of a route, and which of them may be repeated."""

    names: tuple[str, ...]
    lists: frozenset[str]

    def problems(self, given: list[str]) -> Iterator[Problem]:
        """What is wrong with the names of the parameters that a query has."""
        for name, times in sorted(Counter(given).items()):
            place = f"query{path_text((name,))}"
            if name not in self.names:
                yield Problem(place, "UNKNOWN_PARAMETER", self._unknown(name))
            elif times > 1 and name not in self.lists:
                yield Problem(place, "REPEATED_PARAMETER", f"{name!r} is there {times} times; send it once")

    def _unknown(self, name: str) -> str:
        if not self.names:
            return f"there is no parameter {shown(name)}; this address takes none"
        meant = get_close_matches(name[:100].lower(), self.names, n=1)
        hint = f"; did you mean {meant[0]!r}?" if meant else "."
        return f"there is no parameter {shown(name)}{hint} The parameters are {', '.join(map(repr, self.names))}"


def only_declared() -> Callable[[AnyConnection, BaseRouteHandler], None]:
    """A guard for all routes of one application, that refuses what they do not declare.

    It raises:
        ApiError: 400 ``INVALID_PARAMETER``, with the name that may have been meant.
    """
    declared: dict[BaseRouteHandler, _Declared] = {}

    def guard(connection: AnyConnection, _copy: BaseRouteHandler) -> None:
        if connection.scope["type"] == "http" and connection.scope["method"] == "OPTIONS":
            return
        given = [name for name, _ in connection.query_params.multi_items()]
        if not given:
            return
        if not declared:
            declared.update(_declared_by(connection.app))
        # What the guard is given is a copy of the handler.
        handler = cast("BaseRouteHandler", connection.scope["route_handler"])
        problems = list(islice(declared[handler].problems(given), MAX_PROBLEMS))
        if problems:
            detail = "; ".join(problem.message for problem in problems)
            raise ApiError(HTTPStatus.BAD_REQUEST, INVALID_PARAMETER, detail, problems)

    return guard


def _declared_by(app: Litestar) -> dict[BaseRouteHandler, _Declared]:
    """The parameters of every handler, its dependencies' among them."""
    return {
        handler: _Declared(
            tuple(sorted(each.field_alias for each in model.expected_query_params)),
            frozenset(model.sequence_query_parameter_names),
        )
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler, model in route.route_handler_map.values()
    }
