"""What operators do with sources: ``python -m services.gateway.admin sources --help``."""

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from libs.storage.client import Mongo
from libs.storage.documents import SourceDocument, SourceFileState
from services.gateway.access.principal import Principal
from services.gateway.access.reach import Reach
from services.gateway.http.sources.source_views import (
    present_files,
    present_source,
    present_trial,
    read_changes,
    read_new,
)
from services.gateway.operating import Limit, OrganizationId, acting_operator, print_line, with_mongo
from services.gateway.settings import GatewaySettings
from services.gateway.sources.opening import Places
from services.gateway.sources.registered import Sources

sources = typer.Typer(help="Sources of an organization: where files are taken from.", no_args_is_help=True)

SourceId = Annotated[str, typer.Argument(metavar="SOURCE")]
Body = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", allow_dash=True, help="JSON as POST /api/v1/sources takes it; - for standard input."
    ),
]


@sources.command("list")
def list_sources(organization: OrganizationId, limit: Limit = 100) -> None:
    """Show the sources of an organization and how they do, the newest first."""

    async def work(mongo: Mongo) -> None:
        for each in (await _sources(mongo).page(await acting_operator(mongo, organization), limit, None)).items:
            print_line(present_source(each))

    with_mongo(work)


@sources.command("show")
def show_source(organization: OrganizationId, source: SourceId) -> None:
    """Show a source, and how it does."""
    _show(organization, lambda capability, acting: capability.get(acting, source))


@sources.command("create")
def create_source(organization: OrganizationId, file: Body) -> None:
    """Make a source, once it was opened and listed; secrets stand in the file, and are shown nowhere."""
    content = _json(file)

    async def make(capability: Sources, acting: Principal) -> SourceDocument:
        return await capability.add(acting, read_new(content))

    _show(organization, make)


@sources.command("change")
def change_source(organization: OrganizationId, source: SourceId, file: Body) -> None:
    """Change what the file holds of a source."""
    content = _json(file)

    async def change(capability: Sources, acting: Principal) -> SourceDocument:
        return await capability.change(acting, source, read_changes(content))

    _show(organization, change)


@sources.command("pause")
def pause_source(organization: OrganizationId, source: SourceId) -> None:
    """Take no more files from a source."""
    _show(organization, lambda capability, acting: capability.pause(acting, source))


@sources.command("resume")
def resume_source(organization: OrganizationId, source: SourceId) -> None:
    """Take files from it again."""
    _show(organization, lambda capability, acting: capability.resume(acting, source))


@sources.command("run")
def run_source(organization: OrganizationId, source: SourceId) -> None:
    """Let it be looked at as soon as possible."""
    _show(organization, lambda capability, acting: capability.look(acting, source))


@sources.command("test")
def test_source(organization: OrganizationId, source: SourceId) -> None:
    """Open it and list what is there; what keeps it from being used is told."""

    async def work(mongo: Mongo) -> None:
        print_line(present_trial(await _sources(mongo).test(await acting_operator(mongo, organization), source)))

    with_mongo(work)


@sources.command("files")
def list_files(
    organization: OrganizationId, source: SourceId, status: SourceFileState | None = None, limit: Limit = 100
) -> None:
    """Show the files that were seen, and what became of them, the newest first."""
    states = None if status is None else [status]

    async def work(mongo: Mongo) -> None:
        acting = await acting_operator(mongo, organization)
        found = await _sources(mongo).files(acting, source, states, limit, None)
        for each in present_files(found.items, more=False).data:
            print_line(each)

    with_mongo(work)


@sources.command("remove")
def remove_source(
    organization: OrganizationId,
    source: SourceId,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Really do it; what is known of its files goes too.")] = False,
) -> None:
    """Remove a source; the imports of its files stay."""
    if not yes:
        raise typer.BadParameter("this forgets which files were imported already; say --yes")

    async def work(mongo: Mongo) -> None:
        await _sources(mongo).remove(await acting_operator(mongo, organization), source)

    with_mongo(work)


def _show(organization: str, act: Callable[[Sources, Principal], Awaitable[SourceDocument]]) -> None:
    async def work(mongo: Mongo) -> None:
        print_line(present_source(await act(_sources(mongo), await acting_operator(mongo, organization))))

    with_mongo(work)


def _sources(mongo: Mongo) -> Sources:
    return Sources(Places.of(GatewaySettings.model_validate({})), Reach(mongo))


def _json(file: Path) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(sys.stdin.read() if str(file) == "-" else file.read_text())
    except (ValueError, OSError):
        raise typer.BadParameter(f"{file} holds no JSON") from None
