"""Rounds of the limit, the script and Rowdock, one after the other on the same servers; medians."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pymongo import MongoClient

from bench.baselines import BLOCK_ROWS, Target, measure_limit, measure_script, save_records
from bench.datasets import Dataset, contacts, dataset, large_contacts
from bench.imports import RowsLostError, check_conservation, import_file, validate_file
from bench.processes import peak_mb, processor_seconds, reset_peaks
from bench.rare import ordinary, rare
from deploy.local.gateway_client import GatewayClient
from deploy.local.progress import Progress
from deploy.local.stack import Stack

CLIENTS = "clients"
"""Name of what is not part of the stack: processes of the limit and of the script, who uploads."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where everything is.

    Attributes:
        data: folder of generated files.
        out: folder of results.
    """

    stack: Stack
    gateway: GatewayClient
    data: Path
    out: Path
    progress: Progress

    def connect(self) -> GatewayClient:
        """A further client of the same organization."""
        return GatewayClient(self.stack.gateway, self.stack.api_key)

    def measure(self, name: str, rows: int, rounds: int) -> dict[str, Any]:
        """The figures of one dataset."""
        with self.progress.step(f"Making {name}"):
            data = dataset(name, self.data, rows)
        records = self.out / f"{name}.bson"
        with self.target(name) as target:
            self._warm_up(dataset(name, self.data, min(rows, BLOCK_ROWS)), target)
            save_records(target, records)
        reset_peaks(self.stack)
        measured = [self._round(data, records, number, rounds) for number in range(1, rounds + 1)]
        records.unlink()
        return _summary(data, measured, peak_mb(self.stack))

    def _warm_up(self, data: Dataset, target: Target) -> None:
        with self.progress.step("Warming up with one import") as step:
            done = import_file(self.stack, self.gateway, self.template(data, target), data.file)
            check_conservation(self.stack, [done.run], data)
            step.result = f"{data.rows / done.seconds:,.0f} rows/s"

    def measure_format(self, extension: str, rows: int, rounds: int) -> dict[str, Any]:
        """Rows a second of Rowdock and of the script, for contacts in one format."""
        with self.progress.step(f"Making {rows:,} contacts as {extension}"):
            data = contacts(self.data, rows, extension)
        with self.target(data.name) as target:
            self._warm_up(data, target)
        found: list[dict[str, Any]] = []
        rates: dict[str, float] = {}
        ratios: dict[str, float] = {}
        for number in range(1, rounds + 1):
            with self.progress.step(f"Round {number} of {rounds}: {extension}") as step:
                with self.target("script") as target, self.processor(data.rows) as script_used:
                    script = measure_script(target, data.file)
                    script_used[CLIENTS] = script.processor_seconds
                with self.target("careful") as target, self.processor(data.rows) as careful_used:
                    careful = measure_script(target, data.file, careful=True)
                    careful_used[CLIENTS] = careful.processor_seconds
                    self._check_careful(target, data)
                with self.target(data.name) as target:
                    template = self.template(data, target)
                    with self.processor(data.rows) as used:
                        done = import_file(self.stack, self.gateway, template, data.file)
                        used[CLIENTS] = done.processor_seconds
                    check_conservation(self.stack, [done.run], data)
                seconds = {"script": script.seconds, "careful": careful.seconds, "rowdock": done.seconds}
                rates = {f"{name}_rows_s": data.rows / taken for name, taken in seconds.items()}
                ratios = {
                    "ratio": script.seconds / done.seconds,
                    "careful_ratio": careful.seconds / done.seconds,
                }
                cpu = {
                    "cpu_us_per_row": used,
                    "script_cpu_us_per_row": _of_database(script_used),
                    "careful_cpu_us_per_row": _of_database(careful_used),
                }
                found.append({**rates, **ratios, "phases": done.phases, **cpu})
                step.result = ", ".join(f"{name} {data.rows / taken:,.0f}" for name, taken in seconds.items())
        middles = {key: median(one[key] for one in found) for key in (*rates, *ratios)}
        return {"format": extension, "rows": data.rows, "bytes": data.file.stat().st_size, **middles, "rounds": found}

    def measure_large(self, extension: str, megabytes: int) -> dict[str, Any]:
        """Peak memory of the parser while it reads one large file, which is checked but not written."""
        with self.progress.step(f"Making {megabytes:,} MiB of {extension}"):
            data = large_contacts(self.data, megabytes, extension)
        with self.target(data.name) as target, self.progress.step(f"Reading {megabytes:,} MiB of {extension}") as step:
            reset_peaks(self.stack)
            seconds, run = validate_file(self.gateway, self.template(data, target), data.file)
            peaks = peak_mb(self.stack)
            expected = (data.rows, data.rejected)
            if (run["total_rows"], run["rejected_count"]) != expected:
                raise RowsLostError(f"{run['total_rows'], run['rejected_count']} rows and rejected, not {expected}")
            step.result = f"parser {peaks['parser']:.0f} MiB, {data.rows / seconds:,.0f} rows/s"
        data.file.unlink()
        return {
            "format": extension,
            "bytes": megabytes * 1024**2,
            "rows": data.rows,
            "seconds": round(seconds, 1),
            "rss_mb": peaks,
        }

    def measure_rare(self, megabytes: int) -> list[dict[str, Any]]:
        """The import of an ordinary file and of one with nothing but rare spellings."""
        return [self._measure_spelling(make, megabytes) for make in (ordinary, rare)]

    def _measure_spelling(self, make: Callable[[Path, int], Dataset], megabytes: int) -> dict[str, Any]:
        with self.progress.step(f"Making {megabytes:,} MiB of {make.__name__} values"):
            data = make(self.data, megabytes)
        with self.target(data.name) as target, self.progress.step(f"Importing {data.rows:,} rows") as step:
            template = self.template(data, target)
            reset_peaks(self.stack)
            with self.processor(data.rows) as used:
                done = import_file(self.stack, self.gateway, template, data.file)
            peaks = peak_mb(self.stack)
            check_conservation(self.stack, [done.run], data)
            step.result = f"{data.rows / done.seconds:,.0f} rows/s"
        size = data.file.stat().st_size
        data.file.unlink()
        return {
            "spelling": data.name,
            "bytes": size,
            "rows": data.rows,
            "rejected": data.rejected,
            "seconds": round(done.seconds, 1),
            "phases": done.phases,
            "cpu_us_per_row": used,
            "rss_mb": peaks,
        }

    def _check_careful(self, target: Target, data: Dataset) -> None:
        """The careful script has to reject what the template rejects, or it is compared for less."""
        with MongoClient[dict[str, Any]](target.uri) as client:
            database = client[target.database]
            written, rejected = (
                database[name].count_documents({}) for name in (target.collection, f"{target.collection}_rejected")
            )
            database.drop_collection(f"{target.collection}_rejected")
        if (written, rejected) != (data.rows - data.rejected, data.rejected):
            raise RowsLostError(f"the careful script wrote {written:,} and rejected {rejected:,} of {data.file.name}")

    def _round(self, data: Dataset, records: Path, number: int, rounds: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        with self.progress.step(f"Round {number} of {rounds}: {data.name}") as step:
            with self.target("limit") as target, self.processor(data.rows) as used:
                effort = measure_limit(target, records, data.rows)
                used[CLIENTS] = effort.processor_seconds
            found["limit_rows_s"] = data.rows / effort.seconds
            found["limit_cpu_us_per_row"] = _of_database(used)
            with self.target("script") as target, self.processor(data.rows) as used:
                effort = measure_script(target, data.file)
                used[CLIENTS] = effort.processor_seconds
            found["script_rows_s"] = data.rows / effort.seconds
            found["script_cpu_us_per_row"] = _of_database(used)
            with self.target(data.name) as target:
                template = self.template(data, target)
                with self.processor(data.rows) as used:
                    done = import_file(self.stack, self.gateway, template, data.file)
                    used[CLIENTS] = done.processor_seconds
                check_conservation(self.stack, [done.run], data)
            found["rowdock_rows_s"] = data.rows / done.seconds
            found["cpu_us_per_row"] = used
            found["phases"] = done.phases
            found["ratio"] = found["rowdock_rows_s"] / found["limit_rows_s"]
            rates = (("limit", "limit_rows_s"), ("script", "script_rows_s"), ("Rowdock", "rowdock_rows_s"))
            step.result = ", ".join(f"{who} {found[rate]:,.0f}" for who, rate in rates)
        return found

    def template(self, data: Dataset, target: Target, gateway: GatewayClient | None = None, **changes: object) -> str:
        """The id of a new template of a dataset, that of another organization by its client."""
        template = {**data.template, "target_resource": target.collection, **changes}
        return (gateway or self.gateway).create_template(template)["id"]

    @contextmanager
    def target(self, name: str) -> Iterator[Target]:
        """An empty collection, gone afterwards; nothing of before is still to be written to disk."""
        target = Target(self.stack.mongodb, self.stack.target_database, name)
        with MongoClient[dict[str, Any]](target.uri) as client:
            database = client[target.database]
            database.create_collection(name)
            client.admin.command("fsync")
            try:
                yield target
            finally:
                database.drop_collection(name)

    @contextmanager
    def processor(self, rows: int) -> Iterator[dict[str, float]]:
        """Processor time by process meanwhile, in microseconds a row; that of others is added in seconds.

        It includes writing everything to disk, so that none of it falls into somebody else's time.
        """
        used: dict[str, float] = {}
        before = processor_seconds(self.stack)
        yield used
        with MongoClient[dict[str, Any]](self.stack.mongodb) as client:
            client.admin.command("fsync")
        used |= {name: after - before[name] for name, after in processor_seconds(self.stack).items()}
        used |= {name: round(seconds / rows * 1e6, 2) for name, seconds in used.items()}


def _of_database(used: dict[str, float]) -> dict[str, float]:
    """Without the processes that only happened to run meanwhile."""
    return {name: used[name] for name in ("mongod", CLIENTS)}


def _summary(data: Dataset, rounds: list[dict[str, Any]], peaks: dict[str, float]) -> dict[str, Any]:
    def middle(of: Callable[[dict[str, Any]], float], digits: int) -> float:
        return round(median(of(one) for one in rounds), digits)

    def middles(key: str, digits: int) -> dict[str, float]:
        return {name: middle(lambda one, n=name: one[key][n], digits) for name in rounds[0][key]}

    return {
        "dataset": data.name,
        "rows": data.rows,
        **{
            name: round(middle(lambda one, n=name: one[n], 0))
            for name in ("limit_rows_s", "script_rows_s", "rowdock_rows_s")
        },
        "ratio": middle(lambda one: one["ratio"], 3),
        "phases": middles("phases", 3),
        "cpu_us_per_row": middles("cpu_us_per_row", 2),
        "limit_cpu_us_per_row": middles("limit_cpu_us_per_row", 2),
        "script_cpu_us_per_row": middles("script_cpu_us_per_row", 2),
        "rss_mb": peaks,
        "written": data.rows - data.rejected,
        "rejected": data.rejected,
        "rounds": rounds,
    }
