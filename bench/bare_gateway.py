"""What a gateway would be with nothing but what it cannot do without: Litestar, PyMongo, a key, and one document.

``python -m bench.bare_gateway PORT MONGODB DATABASE``: no limits, no log, no ids of requests, no checks of parameters,
no second vocabulary. It knows keys as the gateway does, by their digest, and answers what the gateway answers.
"""

import hashlib
import sys
from typing import Any

import uvicorn
from litestar import Litestar, Request, get
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult, DefineMiddleware
from pymongo import AsyncMongoClient

from libs.contracts.ids import as_uuid, of_uuid

PATH = "/api/v1/imports"


class Authentication(AbstractAuthenticationMiddleware):
    """Finds the organization of a key."""

    async def authenticate_request(self, connection: ASGIConnection[Any, Any, Any, Any]) -> AuthenticationResult:
        key = connection.headers.get("authorization", "").removeprefix("Bearer ")
        found = await connection.app.state.database["api_keys"].find_one(
            {"digest": hashlib.sha256(key.encode()).hexdigest(), "revoked_at": None}, {"tenant_id": 1}
        )
        if found is None:
            raise NotAuthorizedException
        return AuthenticationResult(user=None, auth=found["tenant_id"])


@get(PATH + "/{import_id:str}")
async def show(request: Request[Any, str, Any], import_id: str) -> dict[str, Any]:
    """An import without errors of rows."""
    asked = {"_id": of_uuid(import_id), "tenant_id": request.auth}
    found = await request.app.state.database["runs"].find_one(asked)
    if found is None:
        raise NotFoundException
    counts = found["counts"]
    return {
        "id": as_uuid(found["_id"]),
        "importer_id": as_uuid(found["template_id"]),
        "status": found["status"],
        "created_at": found["created_at"].isoformat(),
        "num_rows": counts["rows"],
        "num_errors": counts["rejected"],
        "errors": [],
        "completed_at": found["finished_at"].isoformat(),
        "error": None,
    }


def main() -> None:
    """Serve until SIGTERM."""
    port, mongodb, database = sys.argv[1:]
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongodb, tz_aware=True)
    app = Litestar([show], middleware=[DefineMiddleware(Authentication)], logging_config=None, openapi_config=None)
    app.state.database = client[database]
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_config=None, access_log=False, loop="uvloop")


if __name__ == "__main__":
    main()
