"""What does not grow with the runs that have ended: lists, looks, imports, and what services do in the background."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final

import httpx
from bson import ObjectId
from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from bench.baselines import Target
from bench.datasets import contacts
from bench.examined import Examined, examined
from bench.hostile import receivers
from bench.imports import RowsLostError, upload_and_execute
from bench.measurement import Bench
from bench.report import show_verdict
from bench.specimens import KEPT_FILES_AFTER, Specimen, insert
from bench.storage import stored_bytes
from deploy.local.stack import CHECKOUT, make_organization

COUNTS: Final = (0, 1_000, 10_000, 100_000)
OTHERS: Final = 4
"""Organizations beside the one that has most runs."""
MINE: Final = 0.6
"""Share of the runs that is that one's."""
KINDS: Final = {"engine": 50, "rowporter": 15, "importers": 20, "failed": 10, "cancelled": 5}
"""Of a hundred runs so many are copies of which specimen."""
WAITING_EACH, MOST_WAITING = 100, 500
"""Of so many runs one waits to be executed; at most so many do."""
AGE: Final = timedelta(days=364)
"""The oldest run is not yet old enough to be removed."""
IMPORT_ROWS: Final = 1_000
TIMES: Final = 11
PROFILED: Final = 3
IDLE_SECONDS: Final = 30.0
SETTLING_SECONDS: Final = 10.0
SWEEP_SECONDS: Final = "10"
WORST: Final = 12
ALLOWED, GROWTH = 500, 1.5
"""Documents and keys that may be examined, whatever has ended; what is more may not grow by more than the noise."""
FINISHING_SECONDS: Final = 60
Document = dict[str, Any]
Asking = tuple[str, Callable[[], httpx.Response]]


class ManyRuns:
    """A stack to which ended runs are added, and the same questions to it again and again."""

    def __init__(self, bench: Bench, client: MongoClient[Document], target: Target, receiver: str) -> None:
        self._bench = bench
        self._client = client
        self._target = target
        self._state = client[bench.stack.database]
        self._chance = random.Random(11)
        self._http = bench.gateway.http
        self._small = contacts(bench.data, 10, "csv").file.read_bytes().replace(b".1@example.com", b" at", 1)
        self._thousand = contacts(bench.data, IMPORT_ROWS, "csv")
        data = contacts(bench.data, 10, "csv")
        self._engine = bench.template(data, target, auto_execute=False)
        self._told = bench.template(data, target, auto_execute=False, webhook_url=f"{receiver}/good")
        self._rowporter = _created(self._http, "/api/v1/templates", _ROWPORTER)["id"]
        self._importer = _created(self._http, "/api/v1/importers", _IMPORTER)["id"]
        self._operator = httpx.Client(
            base_url=bench.stack.gateway, headers={"Authorization": f"Bearer {self._operator_key()}"}, trust_env=False
        )
        for number in range(OTHERS):
            make_organization(bench.stack, f"other {number}")
        self._mine = self._organization("local")
        self._others = [self._organization(f"other {number}") for number in range(OTHERS)]
        self._specimens = self._made()
        self._old = {name: each.without_file() for name, each in self._specimens.items() if name != "waiting"}
        self.runs = 0

    def add(self, wanted: int) -> None:
        """Have so many runs that have ended, with all that is kept of them."""
        with self._bench.progress.step(f"Storing {wanted - self.runs:,} ended runs") as step:
            made = self._copies(wanted - self.runs)
            documents = insert(self._state, self._client[self._bench.stack.target_database], made)
            self._client.admin.command("fsync")
            self.runs = wanted
            step.result = f"{documents:,} documents"

    def measure(self) -> dict[str, Any]:
        """What is asked for, and what happens by itself."""
        with self._bench.progress.step(f"{self.runs:,} ended runs: what services do by themselves") as step:
            time.sleep(SETTLING_SECONDS if self.runs else 0.0)
            with examined(self._client, self._bench.stack.database) as idle:
                time.sleep(IDLE_SECONDS)
            step.result = f"{(idle.documents + idle.keys) / idle.seconds:,.0f} documents and keys a second"
        with self._bench.progress.step(f"{self.runs:,} ended runs: lists, looks, imports"):
            asked = {name: self._ask(ask) for name, ask in self._questions()}
            imported = self._import()
        stored = stored_bytes(self._client, self._bench.stack)
        return {
            "runs": self.runs,
            "questions": asked,
            "import": imported,
            "idle": _told(idle, WORST),
            "observation_ms": self._observation_ms(),
            "stored": {name: [size.data, size.stored, size.indexes] for name, size in stored.items()},
            "run_index_bytes": self._state.command("collStats", "runs")["indexSizes"],
        }

    # --- what is stored ---------------------------------------------------------------------------

    def _made(self) -> dict[str, Specimen]:
        """One run of each kind, from its upload to its end."""
        gateway = self._bench.gateway
        engine = upload_and_execute(gateway, self._told, self._small, "a.csv")["id"]
        failed = upload_and_execute(gateway, self._engine, b"\x00\x01\x02\n" * 50, "b.csv")["id"]
        waiting = gateway.upload(self._engine, self._small, "c.csv")["id"]
        cancelled = gateway.upload(self._engine, self._small, "d.csv")["id"]
        gateway.cancel(cancelled)
        importer = self._started({"importer_id": self._importer, "mapping": _MAPPING})
        rowporter = self._started({"template_id": self._rowporter})
        found = {
            "engine": engine,
            "failed": failed,
            "waiting": waiting,
            "cancelled": cancelled,
            "importers": importer,
            "rowporter": rowporter,
        }
        wanted = {"failed": "failed", "cancelled": "cancelled", "waiting": "validated"}
        deadline = time.monotonic() + FINISHING_SECONDS
        state, records = self._state, self._client[self._bench.stack.target_database]
        for name, run_id in found.items():
            while (status := self._status(run_id)) != wanted.get(name, "completed"):
                if time.monotonic() > deadline:
                    raise RowsLostError(f"the run of {name} is {status}")
                time.sleep(0.1)
        while state["webhook_deliveries"].count_documents({"state": "pending"}) and time.monotonic() < deadline:
            time.sleep(0.1)
        return {name: Specimen.of(state, records, run_id) for name, run_id in found.items()}

    def _status(self, run_id: str) -> str:
        run = self._state["runs"].find_one({"_id": run_id}, {"status": 1})
        return "" if run is None else str(run["status"])

    def _started(self, form: Mapping[str, str]) -> str:
        answer = self._http.post("/api/v1/imports", data=form, files={"file": ("e.csv", _FEW_ROWS)})
        answer.raise_for_status()
        run = self._state["runs"].find_one({}, {"_id": 1}, sort=[("_id", -1)])
        assert run is not None
        return str(run["_id"])

    def _copies(self, count: int) -> Iterator[tuple[str, bytes]]:
        now = datetime.now(UTC)
        waiting = [each for each in range(count) if each % WAITING_EACH == 0][:MOST_WAITING]
        for number in range(count):
            chosen = self._chance.choices(list(KINDS), list(KINDS.values()))[0]
            earlier = AGE * self._chance.random()
            kept = earlier < KEPT_FILES_AFTER
            if number in waiting:
                earlier, kept, chosen = KEPT_FILES_AFTER * self._chance.random(), True, "waiting"
            specimen = (self._specimens if kept else self._old)[chosen]
            tenant = self._mine if self._chance.random() < MINE else self._chance.choice(self._others)
            run_id = str(ObjectId.from_datetime(now - earlier))[:8] + str(ObjectId())[8:]
            yield from specimen.copy(run_id, tenant, earlier)

    def _organization(self, name: str) -> str:
        found = self._state["organizations"].find_one({"name": name}, {"_id": 1})
        assert found is not None
        return str(found["_id"])

    def _operator_key(self) -> str:
        stack = self._bench.stack
        command = (sys.executable, "-m", "services.gateway.admin", "keys", "create", self._organization("local"))
        environment = {
            **stack.servers.environment(),
            "ROWDOCK_DATABASE": stack.database,
            "ROWDOCK_TARGET_DATABASE": stack.target_database,
        }
        printed = subprocess.run(
            (*command, "scaling", "--scope", "operator"),
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return str(json.loads(printed.strip().splitlines()[-1])["api_key"])

    # --- what is asked ----------------------------------------------------------------------------

    def _questions(self) -> Iterator[Asking]:
        mine = {"tenant_id": self._mine, "status": "completed"}
        ids = [each["_id"] for each in self._state["runs"].find(mine, {"_id": 1}).sort("_id", -1)]
        late, some = ids[len(ids) * 9 // 10], ids[len(ids) // 2]
        counted = self._state["runs"].count_documents({"tenant_id": self._mine, "vocabulary": "rowporter"})
        metrics = f"{self._bench.stack.services['gateway'][0].url}/metrics"

        def get(path: str, **query: str | int) -> Callable[[], httpx.Response]:
            return lambda: self._http.get(path, params=query)

        yield "engine: runs", get("/imports/runs", limit=50)
        yield "engine: a late page", get("/imports/runs", limit=50, after=late)
        yield "engine: by status", get("/imports/runs", limit=50, status="failed")
        yield (
            "engine: by template and status",
            get("/imports/runs", limit=50, template_id=self._engine, status="cancelled"),
        )
        yield "engine: by template", get("/imports/runs", limit=50, template_id=self._told)
        yield "engine: none of a status", get("/imports/runs", limit=50, template_id=self._told, status="executing")
        yield "engine: one run", get(f"/imports/runs/{some}")
        yield "engine: its rejected rows", get("/imports/rejected", run_id=some)
        yield "engine: its records", get(f"/imports/runs/{some}/records")
        yield "engine: templates", get("/imports/templates")
        yield "records", get(f"/records/{self._target.collection}", limit=50)
        yield "Rowporter: imports", get("/api/v1/imports", limit=20)
        yield "Rowporter: the last page", get("/api/v1/imports", limit=20, page=max(1, -(-counted // 20)))
        yield "Rowporter: by status", get("/api/v1/imports", limit=20, status="FAILED")
        yield "Rowporter: templates", get("/api/v1/templates")
        yield "importers: importers", get("/api/v1/importers")
        one = self._state["runs"].find_one({"tenant_id": self._mine, "vocabulary": "importers"}, {"_id": 1})
        assert one is not None
        yield "importers: one import", get(f"/api/v1/imports/{one['_id']}")
        yield "admin status", lambda: self._operator.get("/api/v1/admin/status")
        yield "metrics", lambda: httpx.get(metrics, trust_env=False)

    def _ask(self, ask: Callable[[], httpx.Response]) -> dict[str, float]:
        times: list[float] = []
        for _ in range(TIMES):
            clock = time.perf_counter()
            ask().raise_for_status()
            times.append(time.perf_counter() - clock)
        looks: list[Examined] = []
        for _ in range(PROFILED):
            with examined(self._client, self._bench.stack.database, self._bench.stack.target_database) as found:
                ask().raise_for_status()
            looks.append(found)
        return {
            "ms": round(1000 * median(times), 1),
            # What services do by themselves falls into some of the looks, so the least is that of the question.
            "documents": min(each.documents for each in looks),
            "keys": min(each.keys for each in looks),
        }

    def _import(self) -> dict[str, Any]:
        seconds: list[float] = []
        looks: list[Examined] = []
        content = self._thousand.file.read_bytes()
        for number in range(2 * PROFILED):
            clock = time.perf_counter()
            if number < PROFILED:
                run = upload_and_execute(self._bench.gateway, self._engine, content, "thousand.csv")
                seconds.append(time.perf_counter() - clock)
            else:
                with examined(self._client, self._bench.stack.database) as found:
                    run = upload_and_execute(self._bench.gateway, self._engine, content, "thousand.csv")
                looks.append(found)
            if run["status"] != "completed" or run["total_rows"] != IMPORT_ROWS:
                raise RowsLostError(f"an import is {run['status']}: {run['error']}")
        least = min(looks, key=lambda each: each.documents + each.keys)
        return {"seconds": round(median(seconds), 3), **_told(least, WORST)}

    def _observation_ms(self) -> float:
        text = httpx.get(f"{self._bench.stack.services['gateway'][0].url}/metrics", trust_env=False).text
        values = {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if line[:1] not in {"#", ""}}
        name = "rowdock_observation_duration_seconds"
        return round(1000 * values[f"{name}_sum"] / max(1.0, values[f"{name}_count"]), 1)


def measure_runs(bench: Bench, counts: Sequence[int]) -> list[dict[str, Any]]:
    """The same questions with so many ended runs, one number after the other."""
    found: list[dict[str, Any]] = []
    with (
        bench.target("many") as target,
        MongoClient[Document](bench.stack.mongodb, tz_aware=True) as client,
        receivers() as receiver,
    ):
        with bench.progress.step("One run of each kind, to be copied"):
            many = ManyRuns(bench, client, target, receiver)
        for count in counts:
            many.add(count)
            found.append(many.measure())
            show_runs(bench.progress.console, found)
    return found


def show_runs(console: Console, results: list[dict[str, Any]]) -> None:
    """Print what ``measure_runs`` found, and whether anything grows."""
    table = Table(title="Ended runs: ms (documents + keys that MongoDB examines)", title_justify="left")
    table.add_column("")
    for one in results:
        table.add_column(f"{one['runs']:,}", justify="right")
    for name in results[0]["questions"]:
        asked = [one["questions"][name] for one in results]
        table.add_row(name, *(f"{each['ms']:.1f} ({each['documents'] + each['keys']:,})" for each in asked))
    imports = [one["import"] for one in results]
    cells = (f"{1000 * each['seconds']:.0f} ({each['documents'] + each['keys']:,})" for each in imports)
    table.add_row(f"an import of {IMPORT_ROWS:,} rows", *cells)
    table.add_row("observer's round", *(f"{one['observation_ms']:.1f}" for one in results))
    idle = [one["idle"] for one in results]
    rates = (f"{each['commands']:.1f}: {each['documents'] + each['keys']:,.1f}" for each in idle)
    table.add_row("at rest, a second: commands: examined", *rates)
    console.print(table)
    console.print("At rest, with most runs, the most that one command examined:", style="dim")
    for each in idle[-1]["worst"]:
        console.print(f"  {each['most']:,} in {each['commands']} times {each['name']}", style="dim", markup=False)
    earlier, last = results[-2:][0], results[-1]
    for name in last["questions"]:
        before, total = _total(earlier["questions"][name]), _total(last["questions"][name])
        if total > max(ALLOWED, GROWTH * before):
            text = f"{name}: {total:,.0f} examined, {before:,.0f} with {earlier['runs']:,} runs"
            show_verdict(console, text, holds=False)
    most = max(each["most"] for each in idle[-1]["worst"])
    show_verdict(console, f"at rest one command examines {most:,}: at most {ALLOWED}", holds=most <= ALLOWED)


def _total(question: Mapping[str, float]) -> float:
    return question["documents"] + question["keys"]


def _told(found: Examined, worst: int) -> dict[str, Any]:
    """Of what happens in time a second, of anything else all."""
    per = found.seconds if found.seconds > IDLE_SECONDS / 2 else 1.0
    return {
        "commands": round(found.commands / per, 1),
        "documents": round(found.documents / per, 1),
        "keys": round(found.keys / per, 1),
        "worst": [
            {"name": each.name, "most": each.most, "commands": each.commands, "keys": each.keys}
            for each in found.kinds[:worst]
        ],
    }


def _created(http: httpx.Client, path: str, body: Document) -> Document:
    answer = http.post(path, json=body)
    answer.raise_for_status()
    return answer.json()


_FEW_ROWS = b"sku,name\nA1,Anvil\n,Nameless\nA2,Bolt\n"
_MAPPING = json.dumps({"sku": "sku", "name": "name"})
_IMPORTER: Document = {
    "name": "Products",
    "filter_invalid_rows": True,
    "fields": [
        {"name": "sku", "type": "text", "validators": [{"type": "required"}]},
        {"name": "name", "type": "text", "transformations": [{"type": "trim"}]},
    ],
}
_ROWPORTER: Document = {
    "name": "Products",
    "allowPartialImport": True,
    "columns": [
        {"key": "sku", "name": "SKU", "type": "string", "required": True},
        {"key": "name", "name": "Name", "type": "string"},
    ],
}
