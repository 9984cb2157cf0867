"""``rowdock admin``: what operators ask, with a key that has the scope ``operator``."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape

from rowdock_client.cli.session import AsJson, Output, Session
from rowdock_client.models import BacklogView, StatusView

app = typer.Typer(help="What operators ask; takes a key with the scope operator.", no_args_is_help=True)


@app.callback()
def admin() -> None:
    """What operators ask; takes a key with the scope operator."""


@app.command()
def status(
    *,
    stuck_after: Annotated[
        float, typer.Option(min=10, max=86_400, help="Seconds after which a run that has not moved counts as stuck.")
    ] = 300,
    as_json: AsJson = False,
) -> None:
    """Show what runs, what waits, what is stuck and why, and how full it is."""
    with Session(as_json=as_json) as session:
        found = session.client.get_status(stuck_after_seconds=stuck_after)
        session.out.result(found)
        if not as_json:
            _report(session.out, found)


def _report(out: Output, found: StatusView) -> None:
    at = found.at
    out.say(f"[bold]Rowdock {escape(found.release)}[/] at {at:%Y-%m-%d %H:%M:%S} UTC")
    out.say("\n[bold]Processes[/]" if found.processes else "\n[bold]Processes[/]: none was heard of within a day")
    if found.processes:
        out.table(
            ["service", "instance", "version", "up", "heard of", "clock", "rescues"],
            (
                [
                    each.service,
                    each.instance,
                    each.version,
                    _ago(each.started_at, at) if each.alive else "silent",
                    f"{_ago(each.seen_at, at)} ago",
                    f"{each.clock_ahead_ms:+} ms",
                    _counts(each.rescues),
                ]
                for each in found.processes
            ),
        )
    out.say("\n[bold]Kafka[/]")
    if found.kafka.obstacle is not None:
        out.say(f"[red]{escape(found.kafka.obstacle)}[/]")
    out.table(
        ["topic", "read by", "consumers", "waiting"],
        ([each.topic, each.service, f"{each.members} ({each.state})", each.waiting] for each in found.kafka.consumers),
    )
    out.say("\n[bold]Waiting[/]")
    out.table(["what", "how many", "oldest"], _waiting(found))
    out.say(f"\n[bold]Stuck[/]: {len(found.stuck)} runs have not moved for {found.stuck_after_seconds:.0f} s")
    for each in found.stuck:
        out.say(f"  {each.run_id}  {each.status}, quiet for {_ago(each.quiet_since, at)}: {escape(each.why)}")
        out.say(f"    batches: {_counts(each.batches) or 'none'}; rescues: {_counts(each.rescues) or 'none'}")
        if each.last_error is not None:
            out.say(f"    last error: {escape(each.last_error.code)}: {escape(each.last_error.message)}")
    if found.not_all_looked_at:
        out.say(f"  [dim]more runs may be stuck among those that are {', '.join(found.not_all_looked_at)}[/]")
    for letter in found.dead_letters.newest:
        out.say(f"  dead letter {letter.id}, {letter.status}: {escape(letter.code)}: {escape(letter.message)}")
    out.say("\n[bold]Disk[/]")
    out.table(
        ["database", "data", "on disk", "indexes", "disk"],
        (
            [
                each.name,
                _bytes(each.data),
                _bytes(each.stored),
                _bytes(each.indexes),
                f"{_bytes(each.disk_used)} of {_bytes(each.disk_total)}",
            ]
            for each in found.databases
        ),
    )
    kept = found.retention
    oldest = "" if kept.oldest_ended_run_at is None else f"; the oldest ended {_ago(kept.oldest_ended_run_at, at)} ago"
    out.say(
        f"\n[bold]Kept[/]: runs {kept.runs_days:g} days{oldest}; files {kept.files_days:g} days, "
        f"dead letters {kept.dead_letters_days:g} days; {kept.leaving_organizations} organizations are being deleted"
    )


def _waiting(found: StatusView) -> Iterator[list[object]]:
    groups: Mapping[str, Mapping[str, BacklogView]] = {
        "runs": found.runs,
        "dead letters": found.dead_letters.by_status,
        "events of": found.outbox,
    }
    for group, backlogs in groups.items():
        for name, each in backlogs.items():
            yield [f"{group} {name}", each.count, "" if each.oldest_at is None else _ago(each.oldest_at, found.at)]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count)


def _ago(then: datetime, now: datetime) -> str:
    seconds = max(0, int((now - then).total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
