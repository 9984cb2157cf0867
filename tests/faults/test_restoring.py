"""Everything is lost in the middle of imports, and comes back from a backup, with an empty Kafka."""

import asyncio
import shutil
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.backup import restore, save
from deploy.local.servers import start_servers
from deploy.local.stack import Stack, running
from libs.contracts.states import TERMINAL_RUN_STATUSES
from libs.storage.client import connect
from libs.storage.settings import MongoSettings
from tests.client import GatewayClient, eventually, planted_file, planted_template
from tests.oracle import Oracle

pytestmark = [pytest.mark.servers, pytest.mark.faults]

FILES = 6
ROWS = 20_000
ENDED = {status.value for status in TERMINAL_RUN_STATUSES}


async def saved(stack: Stack, directory: Path) -> None:
    mongo = await connect(MongoSettings(mongodb=SecretStr(stack.mongodb)))
    async with mongo.client:
        await save(mongo, directory)


async def restored(uri: str, directory: Path) -> list[str]:
    """Put it back; the runs that had not ended at its moment."""
    mongo = await connect(MongoSettings(mongodb=SecretStr(uri)))
    async with mongo.client:
        await restore(mongo, directory)
        unfinished = {"status": {"$nin": sorted(ENDED)}}
        return [run["_id"] async for run in mongo.state["runs"].find(unfinished, {"_id": 1})]


def test_imports_go_on_after_everything_came_back_from_a_backup(tmp_path: Path) -> None:
    directory, backup = tmp_path / "stack", tmp_path / "backup"
    environment = {name: {"ROWDOCK_RESCUE_AFTER_SECONDS": "4"} for name in ("gateway", "parser", "validator", "writer")}
    planted = {f"restored_{number}": planted_file(ROWS, seed=number) for number in range(FILES)}
    runs: dict[str, str] = {}
    with running(directory, environment=environment) as stack, GatewayClient(stack.gateway, stack.api_key) as gateway:
        for resource, file in planted.items():
            template = gateway.create_template(planted_template(resource, auto_execute=True))
            runs[gateway.upload(template["id"], file.content, Prefer="wait=0")["id"]] = resource
        oracle = Oracle(stack)
        eventually(lambda: oracle.state["runs"].count_documents({"status": "executing"}), "something is being written")
        # Nothing ends while the backup is made.
        stack.supervisor.stop(["writer-1"])
        asyncio.run(saved(stack, backup))
        stack.supervisor.start(["writer-1"])
        # What is done after the backup is lost with the rest.
        eventually(lambda: oracle.state["runs"].count_documents({"status": "completed"}) == FILES, "all are written")
        oracle.close()
    shutil.rmtree(directory / "data")
    servers = start_servers(directory)
    active = asyncio.run(restored(servers.mongodb, backup))
    assert active, "the backup was made when everything had ended"
    with running(directory, environment=environment) as stack, GatewayClient(stack.gateway, stack.api_key) as gateway:
        oracle = Oracle(stack)
        for run_id, resource in runs.items():
            gateway.wait(run_id, "completed")
            oracle.assert_exactly_once(run_id, planted[resource], resource)
        oracle.close()
