"""Bootstrap."""

import asyncio
import json
import os
import sys

from libs.storage.client import Mongo
from libs.storage.settings import MongoSettings
from services.gateway.access.api_keys import ApiKeys


async def run_bootstrap(settings: MongoSettings, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway.bootstrap", *arguments,
        env={
            **os.environ,
            "ROWDOCK_MONGODB": settings.mongodb.get_secret_value(),
            "ROWDOCK_DATABASE": settings.database,
        },
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_bootstrap_prints_one_line_and_knows_a_known_key(mongo: Mongo, mongo_settings: MongoSettings) -> None:
    del mongo
    code, printed = await run_bootstrap(mongo_settings, "--organization", "Böotstrap")
    assert code == 0
    assert printed.count("\n") == 1
    made = json.loads(printed)
    principal = await ApiKeys().principal(made["api_key"])
    assert principal is not None
    assert principal.tenant_id == made["organization_id"]
    code, printed = await run_bootstrap(mongo_settings, "--organization", "Other", "--api-key", made["api_key"])
    assert (code, json.loads(printed)) == (0, made)
    assert (await run_bootstrap(mongo_settings, "--organization", "X", "--api-key", "short"))[0] == 2
