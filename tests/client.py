"""A client of the gateway that waits, and files whose every row is known."""

import csv
import io
import random
import time
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from typing import Any

import httpx

from deploy.local import gateway_client

TERMINAL = frozenset({"completed", "failed", "cancelled", "reverted"})
POLL_SECONDS = 0.05


def eventually(check: Callable[[], object], what: str, seconds: float = 60) -> Any:  # noqa: ANN401
    """The first truthy answer of ``check`` within ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := check():
            return answer
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(POLL_SECONDS)


class GatewayClient(gateway_client.GatewayClient):
    """The gateway's client, patient: it waits for results and outlives faults of the gateway.

    Attributes:
        confirm_deletes: what it lets a sync delete when it has it executed.
    """

    confirm_deletes: str | None = None

    def __init__(self, url: str, api_key: str) -> None:
        super().__init__(url, api_key, timeout_seconds=120)

    def upload_outliving_faults(self, template_id: str, content: bytes, key: str) -> dict[str, Any]:
        """Upload, again with the same ``Idempotency-Key`` when the gateway dies meanwhile."""

        def attempt() -> dict[str, Any] | None:
            try:
                return self.upload(template_id, content, **{"Idempotency-Key": key})
            except httpx.TransportError:
                return None
            except gateway_client.GatewayError as error:
                if error.status != httpx.codes.CONFLICT:
                    raise
                return None  # the key is kept for the gateway that died, for some seconds

        return eventually(attempt, "upload accepted", 60)

    def run_outliving_faults(self, run_id: str) -> dict[str, Any] | None:
        try:
            answer = self.http.get(f"/imports/runs/{run_id}", timeout=10)
        except httpx.TransportError:
            return None
        return answer.json() if answer.status_code == 200 else None

    def wait(self, run_id: str, *statuses: str, seconds: float = 120) -> dict[str, Any]:
        """The run once it is in one of ``statuses``, or in any terminal one."""
        wanted = TERMINAL | set(statuses)

        def reached() -> dict[str, Any] | None:
            run = self.run_outliving_faults(run_id)
            return run if run is not None and run["status"] in wanted else None

        return eventually(reached, f"run {run_id} is {' or '.join(sorted(wanted))}", seconds)

    def rows(self, run_id: str, **query: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """What became of each row, by pages."""
        found: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            answer = self.http.get(f"/imports/runs/{run_id}/rows", params={**query, "after": after})
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += page["data"]
            assert page["next_after"] is None or page["next_after"] > after
            after = page["next_after"]
        return found

    def try_execute(self, run_id: str) -> httpx.Response:
        """The answer to ``execute``, which may be a refusal."""
        query = {} if self.confirm_deletes is None else {"confirm_deletes": self.confirm_deletes}
        return self.http.post(f"/imports/runs/{run_id}/execute", params=query)

    def try_revert(self, run_id: str) -> httpx.Response:
        """The answer to ``revert``, which may be a refusal."""
        return self.http.post(f"/imports/runs/{run_id}/revert")

    def try_cancel(self, run_id: str) -> httpx.Response:
        """The answer to ``cancel``, which may be a refusal."""
        return self.http.post(f"/imports/runs/{run_id}/cancel")


@dataclass(frozen=True)
class PlantedFile:
    """A file and what has to become of each of its rows (1-based).

    Attributes:
        valid: the key of every row that is to be written, by row.
        rejected: rows that are to be rejected.
        skipped: rows that are to be skipped (an upsert key that a later row repeats).
        deleted: rows of ``valid`` that are to delete their record.
    """

    content: bytes
    valid: dict[int, str]
    rejected: frozenset[int]
    skipped: frozenset[int] = frozenset()
    deleted: frozenset[int] = frozenset()

    @property
    def rows(self) -> int:
        return len(self.valid) + len(self.rejected) + len(self.skipped)

    def deleting(self, share: float, seed: int = 3) -> "PlantedFile":
        """The same rows under another name, with a column ``gone`` by which a share of them deletes its record."""
        chance = random.Random(seed)
        header, *lines = self.content.decode().splitlines()
        deleted: set[int] = set()
        out = [f"{header},gone"]
        for row, line in enumerate(lines, start=1):
            if row not in self.rejected and chance.random() < share:
                deleted.add(row)
                out.append(f"{line.split(',', 1)[0]},,no address,many,never,delete")
            else:
                out.append(f"{line.replace(',Name ', ',Renamed ')},")
        return replace(self, content="\n".join(out).encode(), deleted=frozenset(deleted & self.valid.keys()))

    def only_with(self, keys: Container[str]) -> "PlantedFile":
        """The same file where rows of other keys find no record and are skipped."""
        valid = {row: key for row, key in self.valid.items() if key in keys}
        return replace(self, valid=valid, skipped=self.skipped | (self.valid.keys() - valid.keys()))


def planted_file(rows: int, *, bad_share: float = 0.01, repeated_share: float = 0.0, seed: int = 1) -> PlantedFile:
    """``rows`` rows ``sku,name,email,amount,day`` with a share of bad ones and of repeated keys."""
    chance = random.Random(seed)
    out = io.StringIO()
    write = csv.writer(out).writerow
    write(["sku", "name", "email", "amount", "day"])
    valid: dict[int, str] = {}
    rejected: set[int] = set()
    skipped: set[int] = set()
    holders: dict[str, int] = {}
    for row in range(1, rows + 1):
        sku = f"S{row:08d}"
        if holders and chance.random() < repeated_share:
            sku = chance.choice(list(holders)) if len(holders) < 100 else f"S{chance.randrange(1, row):08d}"
        bad = chance.random() < bad_share
        email = "nobody at example" if bad else f"user{row}@example.com"
        write([sku, f"Name {row}", email, f"{row % 1000}.50", "2024-02-29"])
        if bad:
            rejected.add(row)
            continue
        if sku in holders:
            skipped.add(holders[sku])
            del valid[holders[sku]]
        holders[sku] = row
        valid[row] = sku
    return PlantedFile(out.getvalue().encode(), valid, frozenset(rejected), frozenset(skipped))


def planted_template(resource: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """The template of ``planted_file``."""
    return {
        "name": f"planted {resource}",
        "file_type": "csv",
        "target_resource": resource,
        "import_mode": "append",
        "field_mapping": [
            {"source": "sku", "target": "sku", "required": True, "transform": "trim"},
            {"source": "name", "target": "name", "required": True},
            {"source": "email", "target": "email", "type": "email", "required": True},
            {"source": "amount", "target": "amount", "type": "number"},
            {"source": "day", "target": "day", "type": "date"},
        ],
        **changes,
    }
