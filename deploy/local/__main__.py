"""``python -m deploy.local up | down | status``."""

import argparse
import os
import sys

from rich.markup import escape
from rich.table import Table

from deploy.local.progress import Progress
from deploy.local.stack import Stack, down, local_directory, parse_scale, up
from deploy.local.waiting import LocalStackError


def main() -> int:
    """Run one command; the exit code is 0 if it did what was asked."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description="Rowdock on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start servers and services and leave them running")
    start.add_argument("--scale", default=os.environ.get("SCALE", ""), help='instances, like "validator=2 writer=2"')
    start.add_argument("--broker", default=os.environ.get("BROKER") or None, help="kafka (default) or tansu")
    commands.add_parser("down", help="stop everything; data is kept")
    commands.add_parser("status", help="show what runs")
    arguments = parser.parse_args()
    progress = Progress()
    try:
        if arguments.command == "up":
            stack = up(scale=parse_scale(arguments.scale), broker=arguments.broker, progress=progress)
            progress.console.print(
                f"Rowdock runs at {stack.gateway}; details and the API key: {stack.directory}/stack.json"
            )
        elif arguments.command == "down":
            down(progress=progress)
        else:
            _show(Stack.load(), progress)
    except LocalStackError as error:
        if error.log:
            progress.console.print(escape(error.log), style="dim")
        progress.console.print(f"[red]{escape(str(error))}[/]")
        if error.log:
            progress.console.print(f"Logs: {local_directory() / 'logs'}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _show(stack: Stack, progress: Progress) -> None:
    urls = {one.name: one.url for some in stack.services.values() for one in some}
    urls |= {"mongod": stack.mongodb, "broker": f"{stack.kafka} ({stack.broker})"}
    table = Table("process", "state", "pid", "address")
    for name, process in stack.supervisor.processes().items():
        table.add_row(name, process.state, str(process.pid), urls.get(name, ""))
    progress.console.print(table)


if __name__ == "__main__":
    sys.exit(main())
