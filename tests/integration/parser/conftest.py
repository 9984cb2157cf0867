"""What a test of the parser leaves behind."""

import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest


@pytest.fixture
def nothing_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After a test of workbooks: no child process, no temporary file, no descriptor."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(psutil.Process().children())
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    yield
    gc.collect()
    assert set(psutil.Process().children()) == before
    assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors
