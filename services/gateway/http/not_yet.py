"""What the reference documents of the vocabularies name and this release does not do yet.

It is answered with 501 ``NOT_SUPPORTED_YET``, so that nobody takes it for a wrong address. Who builds something of
this removes its line.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

from litestar.handlers import HTTPRouteHandler
from litestar.types import Method

from services.gateway.http.envelope import ApiError
from services.gateway.http.query_parameters import ANY_QUERY


class NotYet(NamedTuple):
    """A path that is known.

    Attributes:
        methods: those that the documents name; any other is refused as at every path.
        what: what cannot be done, for the sentence "… is not supported yet".
        instead: what can.
    """

    path: str
    methods: Sequence[Method]
    what: str
    instead: str


_IMPORTERS = "use /imports/templates"
_IMPORTS = "use /imports/upload and /imports/runs"

NOT_YET = (
    NotYet("/api/v1/importers", ["GET", "POST"], "the importers API", _IMPORTERS),
    NotYet("/api/v1/importers/{importer_id:str}", ["GET", "PUT", "DELETE"], "the importers API", _IMPORTERS),
    NotYet("/api/v1/clerk/webhook", ["POST"], "the synchronisation of users", "use API keys"),
    NotYet("/api/v1/templates", ["GET", "POST"], "the templates API", _IMPORTERS),
    NotYet("/api/v1/templates/{template_id:str}", ["GET", "PATCH", "DELETE"], "the templates API", _IMPORTERS),
    NotYet("/api/v1/templates/{template_id:str}/duplicate", ["POST"], "the templates API", _IMPORTERS),
    NotYet("/api/v1/imports", ["GET", "POST"], "the imports API", _IMPORTS),
    NotYet("/api/v1/imports/{import_id:str}", ["GET"], "the imports API", _IMPORTS),
    NotYet("/api/v1/organization/branding", ["GET", "PUT"], "branding", "the pages that show it are not there either"),
)  # fmt: skip


def not_yet_handlers() -> list[HTTPRouteHandler]:
    """A handler for each line of the table."""
    return [_handler(line) for line in NOT_YET]


def _handler(line: NotYet) -> HTTPRouteHandler:
    async def refuse() -> None:
        raise ApiError(
            HTTPStatus.NOT_IMPLEMENTED,
            "NOT_SUPPORTED_YET",
            f"{line.what} is not supported yet; {line.instead}",
        )

    return HTTPRouteHandler(line.path, http_method=line.methods, include_in_schema=False, opt={ANY_QUERY: True})(refuse)
