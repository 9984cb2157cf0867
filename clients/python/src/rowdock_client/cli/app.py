"""``rowdock``: the commands, and how it is started."""

import sys
from typing import Annotated

import typer

from rowdock_client import configuration
from rowdock_client.cli import admin, imports, rejects, runs, templates
from rowdock_client.cli.session import AsJson, Session, UsageError
from rowdock_client.client import Rowdock
from rowdock_client.configuration import Login

HELP = """Import files with Rowdock, watch runs, correct rejected rows.

Exit codes: 0 everything written; 1 rows were rejected; 2 usage; 3 the run failed or was cancelled; 4 refused by the
gateway; 5 the gateway does not answer; 130 interrupted.
"""

app = typer.Typer(help=HELP, no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(templates.app, name="templates")
app.add_typer(runs.app, name="runs")
app.add_typer(rejects.app, name="rejects")
app.add_typer(admin.app, name="admin")
app.command("import")(imports.import_)
app.command("preview")(imports.preview)
app.command("rows")(runs.rows)
app.command("events")(runs.events)
app.command("revert")(runs.revert)
app.command("cancel")(runs.cancel)


@app.command()
def login(
    *,
    url: Annotated[str, typer.Option(prompt="Address of the gateway", envvar=configuration.URL)],
    api_key: Annotated[
        str | None,
        typer.Option(envvar=configuration.API_KEY, help="Asked for if not given; read from standard input in scripts."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try an address and a key, and remember them for this user (mode 0600).

    ROWDOCK_URL and ROWDOCK_API_KEY are used in their place where they are set.
    """
    with Session(as_json=as_json) as session:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"{url!r} is no address", "it begins with https:// or http://")
        key = api_key or _key_from_standard_input()
        with Rowdock(url, key) as client:
            client.list_templates(limit=1)
        try:
            file = configuration.save(Login(url.rstrip("/"), key))
        except OSError as error:
            raise UsageError(
                f"the login cannot be written: {error}", "set XDG_CONFIG_HOME to a directory of yours"
            ) from error
        session.out.result({"url": url.rstrip("/"), "file": str(file)})
        if not as_json:
            session.out.say(f"logged in at {url}; remembered in {file}")


def _key_from_standard_input() -> str:
    """A key that is typed unseen on a terminal, else the first line."""
    if sys.stdin.isatty():
        return typer.prompt("API key", hide_input=True, err=True)
    return sys.stdin.readline().strip()


def main() -> None:
    """Run the command line."""
    app(prog_name="rowdock")


if __name__ == "__main__":
    main()
