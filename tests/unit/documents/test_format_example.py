"""The example of a format of one's own, found and used as an installed package would be."""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.demo import EXAMPLES
from libs.contracts.errors import FileRefusedError
from libs.contracts.templates import Template
from libs.formats.file_types import file_types
from services.parser.formats.registry import file_format
from tests.reading import read_file

TEMPLATE = Template.model_validate(
    {
        "name": "logs",
        "target_resource": "logs",
        "source": {"file_type": "logfmt"},
        "fields": [{"name": "level"}, {"name": "msg"}, {"name": "user", "column": "user"}],
    }
)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example as a distribution on the path, with the entry point of its docstring."""
    metadata = tmp_path / "rowdock_logfmt-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rowdock-logfmt\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[rowdock.formats]\nlogfmt = rowdock_logfmt:LogfmtFormat\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(EXAMPLES / "formats"))
    file_format.cache_clear()
    file_types.cache_clear()
    yield
    file_format.cache_clear()
    file_types.cache_clear()
    sys.modules.pop("rowdock_logfmt", None)


@pytest.mark.usefixtures("installed")
def test_an_installed_format_reads_files() -> None:
    assert "logfmt" in file_types()
    read = read_file(b'level=info msg="user signed in" user=42\n\nlevel=warn debug\nmsg="open\n', TEMPLATE)
    assert read.plan.columns == ("level", "msg", "user", "debug")
    assert read.cells() == [("info", "user signed in", "42", None), ("warn", None, None, "true")]
    (issue,) = read.issues
    assert (issue.row, issue.code) == (3, "MALFORMED_RECORD")
    assert "line 4" in issue.message
    assert read.rows == 3


@pytest.mark.usefixtures("installed")
def test_keys_that_come_late_are_kept_aside() -> None:
    content = (b"level=info" + b" " * 500 + b"\n") * 3_000 + b"level=warn user=42 msg=bye late=yes\n"
    read = read_file(content, TEMPLATE)
    assert read.plan.columns == ("level", "user", "msg", "(other)")
    assert read.rows == 3_001
    *_, last = read.cells()
    assert (*last[:3], json.loads(last[3] or "")) == ("warn", "42", "bye", {"late": "yes"})


@pytest.mark.usefixtures("installed")
def test_an_installed_format_can_refuse() -> None:
    with pytest.raises(FileRefusedError, match="EMPTY_FILE"):
        read_file(b"\n\n", TEMPLATE)


def test_a_format_that_nobody_brings_is_named() -> None:
    file_format.cache_clear()
    with pytest.raises(FileRefusedError, match="'logfmt', which is not installed; what is installed is csv, json"):
        file_format("logfmt")


def test_the_example_needs_nothing_of_rowdock_but_the_interface() -> None:
    tree = ast.parse((EXAMPLES / "formats" / "rowdock_logfmt.py").read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert modules == {"json", "re", "services.parser.formats.api"}
