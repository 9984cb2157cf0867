"""``/schema``: the OpenAPI document for people, by Swagger UI, which the gateway serves itself.

The page may run the scripts that lie beside it and no others, and talk to nobody but the gateway.
"""

import gzip
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from services.gateway.http.compression import takes_gzip

VERSION: Final = "5.35.0"
"""Of Swagger UI; part of the addresses, which therefore may be kept."""
_ASSETS: Final = Path(__file__).parent / "assets"
_MEDIA_TYPES: Final[Mapping[str, str]] = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "start.js": "text/javascript",
}
_AT: Final = f"/schema/reader/{VERSION}"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content Security Policy of the page. Swagger UI sets styles of single elements; it needs no inline script."""
_PAGE: Final = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Rowdock API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{_AT}/swagger-ui.css">
</head>
<body>
<div id="reader"></div>
<noscript>This page needs JavaScript; the document is at <a href="/schema/openapi.json">openapi.json</a>.</noscript>
<script src="{_AT}/swagger-ui-bundle.js"></script>
<script src="{_AT}/start.js"></script>
</body>
</html>
"""
AssetName = Annotated[str, PathParameter(description="Name of a file of the page.")]


@get("/", sync_to_thread=False)
def show_page() -> Response[str]:
    """The page."""
    return Response(_PAGE, media_type="text/html", headers={"Content-Security-Policy": POLICY})


@get(f"/reader/{VERSION}/{{name:str}}", sync_to_thread=True)
def show_asset(request: Request[Any, Any, Any], name: AssetName) -> Response[bytes]:
    """What the page loads; compressed once for all who ask."""
    if name not in _MEDIA_TYPES:
        raise NotFoundException
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    content, compressed = _asset(name)
    if takes_gzip(request.headers.get("accept-encoding", "")):
        return Response(compressed, media_type=_MEDIA_TYPES[name], headers={**headers, "Content-Encoding": "gzip"})
    return Response(content, media_type=_MEDIA_TYPES[name], headers=headers)


READER: Final[Sequence[HTTPRouteHandler]] = (show_page, show_asset)
"""Handlers, below ``/schema``."""


@cache
def _asset(name: str) -> tuple[bytes, bytes]:
    content = (_ASSETS / name).read_bytes()
    return content, gzip.compress(content, mtime=0)
