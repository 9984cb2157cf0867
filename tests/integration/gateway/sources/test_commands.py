"""Sources by the operators' command line, with the shapes of the interface."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from libs.storage.settings import MongoSettings
from tests.integration.gateway.conftest import SECRET_KEY, SOURCES
from tests.integration.gateway.sources.world import World, put
from tests.integration.gateway.steps import create_template, source_body


async def run(settings: MongoSettings, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway.admin", "sources", *arguments,
        env={
            **os.environ,
            "ROWDOCK_MONGODB": settings.mongodb.get_secret_value(),
            "ROWDOCK_DATABASE": settings.database,
            "ROWDOCK_SECRET_KEY": SECRET_KEY,
            "ROWDOCK_SOURCES_DIRECTORY": SOURCES.name,
        },
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate()
    return process.returncode or 0, [json.loads(line) for line in out.decode().splitlines()], errors.decode()


async def test_from_a_file_of_json_to_what_became_of_files(
    world: World, mongo_settings: MongoSettings, tmp_path: Path
) -> None:
    organization, file = world.organization.id, tmp_path / "source.json"
    body = source_body((await create_template(world.organization.http))["id"])
    put(file, json.dumps(body).encode())
    code, [made], _ = await run(mongo_settings, "create", organization, str(file))
    assert (code, made["name"], made["status"]) == (0, "Inbox", "active")
    shown = (await world.organization.http.get(f"/api/v1/sources/{made['id']}")).json()
    assert {name: value for name, value in shown.items() if value is not None} == made
    put(world.folder / "a.csv")
    await world.look(world.poller(), made["id"], 2)
    _, [seen], _ = await run(mongo_settings, "files", organization, made["id"])
    assert (seen["path"], seen["status"]) == ("a.csv", "submitted")
    _, [paused], _ = await run(mongo_settings, "pause", organization, made["id"])
    assert paused["status"] == "paused"
    code, lines, errors = await run(mongo_settings, "run", organization, made["id"])
    assert (code, lines) == (1, [])
    assert "resume it first" in errors
    put(file, json.dumps({**body, "directory": "missing"}).encode())
    code, lines, errors = await run(mongo_settings, "create", organization, str(file))
    assert (code, lines) == (1, [])
    assert "there is no directory" in errors
