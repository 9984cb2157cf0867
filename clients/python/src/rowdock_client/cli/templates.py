"""``rowdock templates``."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer
from pydantic import ValidationError
from rich.markup import escape

from rowdock_client.cli.finding import AmbiguousTemplateError, template_named, templates_named
from rowdock_client.cli.session import AsJson, ExitCode, Output, Session
from rowdock_client.client import Rowdock
from rowdock_client.models import EngineTemplate, EngineTemplateView
from rowdock_client.templates import Difference, Members, differences, misshapen, read_template_file

app = typer.Typer(help="Templates: what files look like, and where their rows go.", no_args_is_help=True)
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A template as JSON or YAML.")]
Id = Annotated[
    str | None, typer.Option("--id", help="The template that it is; by default the one with the name in the file.")
]


@app.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """List the templates."""
    with Session(as_json=as_json) as session:
        found = session.client.templates()
        if as_json:
            for each in found:
                session.out.result(each)
            return
        session.out.table(
            ["id", "name", "mode", "resource", "version"],
            ([each.id, each.name, each.import_mode, each.target_resource, each.version] for each in found),
        )


@app.command()
def get(template: Annotated[str, typer.Argument(help="Name or id.")], *, as_json: AsJson = False) -> None:
    """Show a template as JSON, which can be changed and applied."""
    with Session(as_json=as_json) as session:
        found = template_named(session.client, template)
        session.out.result(found)
        if not as_json:
            typer.echo(json.dumps(applicable(found), indent=2, ensure_ascii=False))


@app.command()
def apply(
    file: File,
    *,
    template_id: Id = None,
    as_json: AsJson = False,
) -> None:
    """Create the template of a file, or change the one with its name; nothing where they are the same."""
    with Session(as_json=as_json) as session:
        wanted = read_template_file(file)
        found, done = applied(session.client, wanted, template_id, file)
        session.out.result({**found.model_dump(mode="json", exclude_unset=True), "applied": done})
        if not as_json:
            session.out.say(f"{done}: template {escape(found.name)} ({found.id}), version {found.version}")
            if done == "created" and found.webhook_secret is not None:
                session.out.say(f"  its webhook secret, shown once: {escape(found.webhook_secret)}")


@app.command()
def diff(file: File, *, template_id: Id = None, as_json: AsJson = False) -> None:
    """Show what applying a file would change; exit code 1 where that is something."""
    with Session(as_json=as_json) as session:
        wanted = read_template_file(file)
        stored = _stored(session.client, wanted, template_id)
        found = None if stored is None else _changes(stored, wanted, file)
        session.out.result(
            {
                "template_id": None if stored is None else stored.id,
                "changes": [{"path": each.path, "before": each.before, "after": each.after} for each in found or ()],
            }
        )
        if not as_json:
            _show(session.out, str(wanted["name"]), found)
        if found is None or found:
            raise typer.Exit(ExitCode.ROWS_REJECTED)


def applied(
    client: Rowdock, wanted: Members, template_id: str | None, file: Path
) -> tuple[EngineTemplateView, Literal["created", "unchanged", "changed"]]:
    """The template that a file has become, and what was done for it.

    Only the version that was compared is changed, unless the file names another one.

    Args:
        client: of the gateway.
        wanted: the members in the file.
        template_id: id of the template that it is; without it the one of the same name.
        file: where they are from, for messages.

    Raises:
        AmbiguousTemplateError: several have that name.
        ConflictError: ``TEMPLATE_CHANGED``, somebody has changed it meanwhile; it stays as it is.
        TemplateFileError: the file holds no template.
    """
    stored = _stored(client, wanted, template_id)
    if stored is None:
        return client.create_template(wanted), "created"
    if not _changes(stored, wanted, file):
        return stored, "unchanged"
    return client.replace_template(stored.id, {"version": stored.version, **wanted}), "changed"


def by_mode(client: Rowdock, template: EngineTemplateView, mode: str) -> EngineTemplateView:
    """The template ``NAME (MODE)``: the same as ``template``, but for its mode; made or changed where need be.

    Raises:
        AmbiguousTemplateError: several have that name.
        RefusedError: the template cannot be one of that mode.
    """
    wanted = {**applicable(template), "name": f"{template.name} ({mode})", "import_mode": mode}
    stored = _stored(client, wanted, None)
    if stored is None:
        return client.create_template(wanted)
    return client.replace_template(stored.id, wanted) if differences(stored, wanted) else stored


def applicable(template: EngineTemplateView) -> Members:
    """The members of a template that can be sent back, without those that say nothing."""
    members = template.model_dump(mode="json", exclude_unset=True)
    defaults = {name: field.default for name, field in EngineTemplate.model_fields.items()}
    return {
        name: _spoken(value)
        for name, value in members.items()
        if name in defaults and name != "version" and value is not None and value != defaults[name]
    }


def _spoken(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """A value without members of objects that say nothing."""
    if isinstance(value, dict):
        members = cast("Members", value)
        return {name: _spoken(each) for name, each in members.items() if each is not None and each != []}
    return [_spoken(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value


def _stored(client: Rowdock, wanted: Members, template_id: str | None) -> EngineTemplateView | None:
    if template_id is not None:
        return client.get_template(template_id)
    found = templates_named(client, str(wanted["name"]))
    if len(found) > 1:
        raise AmbiguousTemplateError(str(wanted["name"]), found)
    return found[0] if found else None


def _changes(stored: EngineTemplateView, wanted: Members, file: Path) -> list[Difference]:
    try:
        return differences(stored, wanted)
    except ValidationError as error:
        raise misshapen(file, error) from error


def _show(out: Output, name: str, found: list[Difference] | None) -> None:
    if found is None:
        out.say(f"template {escape(name)} would be created")
        return
    if not found:
        out.say(f"template {escape(name)} would stay as it is")
    for each in found:
        before, after = (json.dumps(value, ensure_ascii=False) for value in (each.before, each.after))
        out.say(f"{escape(each.path)}: [red]{escape(before)}[/] → [green]{escape(after)}[/]")
