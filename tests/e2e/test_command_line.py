"""``rowdock``, as it is started by people and by scripts, through the whole stack: what it prints, and how it ends."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from deploy.local.stack import Stack
from rowdock_client.cli.session import ExitCode
from tests.client import planted_file, planted_template
from tests.oracle import Oracle

pytestmark = pytest.mark.servers

GOOD = b"sku,name,email,amount,day\nA1,One,one@example.com,1.50,2024-01-31\n"
BAD = GOOD + b"A2,Two,nobody,2.50,2024-01-31\n"
SECONDS = 120
Rowdock = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(stack: Stack, tmp_path: Path) -> dict[str, str]:
    """What a command is started with."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("ROWDOCK", "XDG"))}
    own = {"ROWDOCK_URL": stack.gateway, "ROWDOCK_API_KEY": stack.api_key, "XDG_CONFIG_HOME": str(tmp_path / "config")}
    return {**known, **own, "NO_COLOR": "1"}


@pytest.fixture
def rowdock(environment: dict[str, str], tmp_path: Path) -> Rowdock:
    """Runs the command line in a directory of the test's own, without a terminal."""

    def run(*arguments: str, expected: int = 0, given: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "rowdock_client.cli.app", *arguments],
            cwd=tmp_path,
            env={**environment, **more},
            input=given,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == expected, f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture
def template(rowdock: Rowdock, resource: str, tmp_path: Path) -> str:
    """The name of a template of ``planted_file`` that was applied."""
    (tmp_path / "template.json").write_text(json.dumps(planted_template(resource)))
    rowdock("templates", "apply", "template.json")
    return f"planted {resource}"


@pytest.fixture
def rejecting(rowdock: Rowdock, template: str, tmp_path: Path) -> str:
    """The id of a run that has rejected its second row."""
    (tmp_path / "bad.csv").write_bytes(BAD)
    done = rowdock("import", "bad.csv", "-t", template, "--yes", "--json", expected=ExitCode.ROWS_REJECTED)
    return only(done)["id"]


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """What was printed: nothing but lines of JSON."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def only(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    (line,) = lines(done)
    return line


def error(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What was told on standard error, with nothing on standard output."""
    assert done.stdout == ""
    return json.loads(done.stderr)["error"]


def test_an_import_where_everything_is_written_ends_with_0(
    rowdock: Rowdock, template: str, resource: str, tmp_path: Path, oracle: Oracle
) -> None:
    planted = planted_file(2_000, bad_share=0)
    (tmp_path / "rows.csv").write_bytes(planted.content)
    done = rowdock("import", "rows.csv", "--template", template, "--yes", "--json")
    assert (only(done)["status"], only(done)["written_count"]) == ("completed", 2_000)
    assert "\x1b" not in done.stderr
    assert oracle.target[resource].count_documents({}) == 2_000
    shown = rowdock("import", "rows.csv", "--template", template, "--yes")
    assert "2,000" in shown.stdout
    assert shown.stderr == ""


def test_rejected_rows_end_it_with_1(rowdock: Rowdock, template: str, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_bytes(BAD)
    done = rowdock("import", "bad.csv", "-t", template, "-y", expected=ExitCode.ROWS_REJECTED)
    assert "row 2 email" in done.stdout
    assert "rowdock rejects download" in done.stdout


def test_a_file_that_cannot_be_imported_ends_it_with_3(rowdock: Rowdock, template: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.csv").write_bytes(b"a,b\n1,2\n")
    done = rowdock("import", "wrong.csv", "-t", template, "-y", "--json", expected=ExitCode.RUN_FAILED)
    assert error(done)["run_id"]
    assert error(done)["remedy"]


def test_what_cannot_be_meant_ends_it_with_2(rowdock: Rowdock, template: str, tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_bytes(GOOD)
    for arguments in (
        ("import", "missing.csv", "-t", template, "-y"),
        ("import", "good.csv", "-t", template),
        ("import", "good.csv", "-y"),
        ("import", "good.csv", "-t", template, "-y", "--mapping", "email"),
        ("import", "good.csv", "-t", template, "-y", "--mapping", "{"),
        ("import", "good.csv", "-t", template, "-y", "--confirm-deletes", "some"),
        ("import", "good.csv", "-t", template, "-y", "--mode", "replace"),
        ("preview", "good.csv"),
        ("templates", "apply", "good.csv"),
        ("no-such-command",),
    ):
        assert rowdock(*arguments, expected=ExitCode.USAGE).stdout == "", arguments


def test_refusals_end_it_with_4(rowdock: Rowdock, tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_bytes(GOOD)
    refused = ExitCode.REFUSED
    assert error(rowdock("runs", "get", "0" * 24, "--json", expected=refused))["code"] == "RUN_NOT_FOUND"
    done = rowdock("import", "good.csv", "-t", "no such template", "-y", "--json", expected=refused)
    assert error(done)["code"] == "NO_SUCH_TEMPLATE"
    done = rowdock("runs", "list", "--json", expected=refused, ROWDOCK_API_KEY="sk_live_wrong")
    assert (error(done)["code"], error(done)["status"]) == ("UNAUTHORIZED", 401)
    assert "rowdock login" in error(done)["remedy"]


def test_nobody_there_ends_it_with_5(rowdock: Rowdock) -> None:
    done = rowdock("runs", "list", "--json", expected=ExitCode.NOT_REACHABLE, ROWDOCK_URL="http://127.0.0.1:1")
    assert error(done)["code"] == "NOT_REACHABLE"


def test_who_is_logged_in_needs_no_environment(rowdock: Rowdock, stack: Stack, tmp_path: Path) -> None:
    none = {"ROWDOCK_URL": "", "ROWDOCK_API_KEY": ""}
    assert "rowdock login" in rowdock("runs", "list", expected=ExitCode.USAGE, **none).stderr
    wrong = ("login", "--url", stack.gateway, "--api-key", "sk_live_wrong")
    rowdock(*wrong, expected=ExitCode.REFUSED, **none)
    rowdock("login", "--url", stack.gateway, given=f"{stack.api_key}\n", **none)
    file = tmp_path / "config" / "rowdock" / "login.json"
    assert file.stat().st_mode & 0o777 == 0o600
    rowdock("runs", "list", **none)
    rowdock("runs", "list", expected=ExitCode.REFUSED, ROWDOCK_URL="", ROWDOCK_API_KEY="sk_live_wrong")
    assert stack.api_key not in rowdock("login", "--json").stdout


def test_templates_are_listed_shown_applied_and_compared(
    rowdock: Rowdock, template: str, resource: str, tmp_path: Path
) -> None:
    assert template in {each["name"] for each in lines(rowdock("templates", "list", "--json"))}
    assert only(rowdock("templates", "apply", "template.json", "--json"))["applied"] == "unchanged"
    shown = rowdock("templates", "get", template).stdout
    (tmp_path / "shown.json").write_text(shown)
    assert only(rowdock("templates", "diff", "shown.json", "--json"))["changes"] == []
    changed = {**planted_template(resource), "invalid_rows": "block"}
    (tmp_path / "changed.yaml").write_text(json.dumps(changed))  # JSON is YAML
    found = only(rowdock("templates", "diff", "changed.yaml", "--json", expected=1))
    assert found["changes"] == [{"path": "invalid_rows", "before": "skip", "after": "block"}]
    assert only(rowdock("templates", "apply", "changed.yaml", "--json"))["applied"] == "changed"
    by_id = rowdock("templates", "get", found["template_id"], "--json")
    assert only(by_id)["invalid_rows"] == "block"
    (tmp_path / "old.json").write_text(json.dumps({**changed, "invalid_rows": "keep", "version": 1}))
    assert "rowdock templates diff" in rowdock("templates", "apply", "old.json", expected=ExitCode.REFUSED).stderr
    assert only(rowdock("templates", "diff", "changed.yaml", "--json"))["changes"] == []
    (tmp_path / "new.json").write_text(json.dumps({**changed, "name": f"new {resource}"}))
    assert "would be created" in rowdock("templates", "diff", "new.json", expected=1).stdout


def test_a_mapping_and_another_mode_are_taken(
    rowdock: Rowdock, template: str, resource: str, tmp_path: Path, oracle: Oracle
) -> None:
    keyed = {**planted_template(resource), "upsert_key": "sku", "import_mode": "upsert"}
    (tmp_path / "keyed.json").write_text(json.dumps(keyed))
    rowdock("templates", "apply", "keyed.json")
    (tmp_path / "mapped.csv").write_bytes(GOOD.replace(b"email", b"post"))
    pairs = ("sku=sku", "name=name", "post=email", "amount=", "day=day")
    mapping = [part for pair in pairs for part in ("--mapping", pair)]
    done = rowdock("import", "mapped.csv", "-t", template, "-y", "--json", *mapping)
    assert only(done)["created_count"] == 1
    done = rowdock("import", "mapped.csv", "-t", template, "-y", "--json", *mapping, "--mode", "update")
    assert (only(done)["import_mode"], only(done)["template_name"]) == ("update", f"{template} (update)")
    assert oracle.target[resource].count_documents({}) == 1
    assert oracle.target[resource].find_one({"amount": {"$ne": None}}) is None


def test_a_preview_writes_nothing(
    rowdock: Rowdock, template: str, resource: str, tmp_path: Path, oracle: Oracle
) -> None:
    (tmp_path / "good.csv").write_bytes(GOOD)
    assert only(rowdock("preview", "good.csv", "-t", template, "--json"))["to_create"] == 1
    assert "to create" in rowdock("preview", "good.csv", "-t", template).stdout
    assert oracle.target[resource].count_documents({}) == 0


def test_runs_and_their_rows_are_shown(rowdock: Rowdock, template: str, rejecting: str, tmp_path: Path) -> None:
    assert rejecting in {each["id"] for each in lines(rowdock("runs", "list", "-t", template, "--json"))}
    assert only(rowdock("runs", "get", rejecting, "--json"))["rejected_count"] == 1
    assert only(rowdock("runs", "watch", rejecting, "--json", expected=1))["status"] == "completed"
    assert [each["outcome"] for each in lines(rowdock("rows", rejecting, "--json"))] == ["created", "rejected"]
    assert [each["row"] for each in lines(rowdock("rows", rejecting, "--outcome", "rejected", "--json"))] == [2]
    rowdock("rows", rejecting, "-o", "rows.ndjson")
    assert len((tmp_path / "rows.ndjson").read_text().splitlines()) == 2
    rowdock("rows", rejecting, "-o", "rows.pdf", expected=ExitCode.USAGE)
    events = lines(rowdock("events", rejecting, "--json"))
    assert (events[0]["event"], events[-1]["data"]["status"]) == ("snapshot", "completed")


def test_rejected_rows_are_corrected_retried_and_discarded(rowdock: Rowdock, rejecting: str) -> None:
    assert only(rowdock("rejects", "list", rejecting, "--json"))["row"] == 2
    rowdock("rejects", "correct", rejecting, "1", "email=a@example.com", expected=ExitCode.USAGE)
    found = only(rowdock("rejects", "correct", rejecting, "2", "email=still wrong", "--json"))
    assert found["errors"]
    rowdock("rejects", "retry", rejecting, expected=ExitCode.ROWS_REJECTED)
    bulk = ("rejects", "correct-all", rejecting, "--code", found["errors"][0]["code"], "--field", "email", "--json")
    assert only(rowdock(*bulk, "--set", "two@example.com", "--dry-run"))["changed_count"] == 1
    assert only(rowdock(*bulk, "--replace", "still wrong", "two@example.com"))["remaining_count"] == 0
    rowdock(*bulk, "--clear", "--set", "x", expected=ExitCode.USAGE)
    assert only(rowdock("rejects", "retry", rejecting, "--json"))["written_count"] == 1
    rowdock("rejects", "discard", rejecting, "2", expected=ExitCode.REFUSED)


def test_a_row_is_given_up(rowdock: Rowdock, rejecting: str) -> None:
    assert only(rowdock("rejects", "discard", rejecting, "2", "--json"))["state"] == "discarded"


def test_a_workbook_of_rejected_rows_goes_there_and_back(rowdock: Rowdock, rejecting: str, tmp_path: Path) -> None:
    rowdock("rejects", "download", rejecting)
    file = tmp_path / f"{rejecting}-rejected.xlsx"
    book = openpyxl.load_workbook(file)
    sheet = book["rejected rows"]
    titles = [cell.value for cell in sheet[1]]
    sheet.cell(2, titles.index("email") + 1).value = "two@example.com"
    book.save(file)
    done = only(rowdock("rejects", "upload", rejecting, str(file), "--json"))
    assert (done["parent_run_id"], done["written_count"]) == (rejecting, 1)


def test_a_run_is_taken_back(rowdock: Rowdock, rejecting: str, resource: str, oracle: Oracle) -> None:
    assert only(rowdock("revert", rejecting, "--json"))["status"] == "reverted"
    assert oracle.target[resource].count_documents({}) == 0
    done = rowdock("cancel", rejecting, "--json", expected=ExitCode.REFUSED)
    assert error(done)["code"] == "WRONG_STATE"


def on_a_terminal(environment: dict[str, str], directory: Path, *arguments: str, typed: bytes) -> tuple[int, str]:
    """Runs the command line on a terminal of 120 columns; its exit code, and what was shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rowdock_client.cli.app", *arguments],
        cwd=directory,
        env={**environment, "TERM": "xterm-256color", "COLUMNS": "120"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, typed)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    return process.wait(timeout=SECONDS), shown.decode(errors="replace")


@pytest.mark.parametrize(("typed", "code", "records"), [(b"y\n", 0, 2_000), (b"n\n", ExitCode.RUN_FAILED, 0)])
def test_on_a_terminal_one_is_asked_and_sees_bars(
    environment: dict[str, str],
    template: str,
    resource: str,
    tmp_path: Path,
    oracle: Oracle,
    typed: bytes,
    code: int,
    records: int,
) -> None:
    (tmp_path / "rows.csv").write_bytes(planted_file(2_000, bad_share=0).content)
    ended, shown = on_a_terminal(environment, tmp_path, "import", "rows.csv", "-t", template, typed=typed)
    assert ended == code, shown
    assert f"Write 2,000 rows to {resource}?" in shown
    for what in ("Uploading", "Checking", "2,000/2,000 rows"):
        assert what in shown
    assert ("Writing" in shown) == bool(records)
    assert oracle.target[resource].count_documents({}) == records


def test_completion_is_offered(rowdock: Rowdock) -> None:
    shown = rowdock(_ROWDOCK_COMPLETE="complete_bash", COMP_WORDS="rowdock rej", COMP_CWORD="1")
    assert "rejects" in shown.stdout.split()


def test_operators_see_what_runs(rowdock: Rowdock, stack: Stack, template: str) -> None:
    del template
    databases = {"ROWDOCK_DATABASE": stack.database, "ROWDOCK_MONGODB": stack.mongodb}
    made = subprocess.run(
        [sys.executable, "-m", "services.gateway.admin", "organizations", "create", "Operators"],
        env={**os.environ, **databases}, capture_output=True, text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    organization = json.loads(made.stdout)["organization_id"]
    made = subprocess.run(
        [sys.executable, "-m", "services.gateway.admin", "keys", "create", organization, "ops", "--scope", "operator"],
        env={**os.environ, **databases}, capture_output=True, text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    key = {"ROWDOCK_API_KEY": json.loads(made.stdout)["api_key"]}
    found = only(rowdock("admin", "status", "--json", **key))
    instances = {each["instance"] for each in found["processes"] if each["alive"]}
    assert instances >= {each.name for some in stack.services.values() for each in some}
    assert {each["version"] for each in found["processes"]} == {found["release"]}
    assert found["kafka"]["obstacle"] is None
    consuming = {each["service"] for each in found["kafka"]["consumers"]}
    assert consuming >= set(stack.services) - {"gateway"}
    assert min(each["members"] for each in found["kafka"]["consumers"] if each["service"] in stack.services) > 0
    told = rowdock("admin", "status", **key).stdout
    assert all(name in told for name in ("Processes", "Kafka", "Waiting", "Stuck", "Disk", "Kept", *instances))
    rowdock("admin", "status", expected=ExitCode.REFUSED)
