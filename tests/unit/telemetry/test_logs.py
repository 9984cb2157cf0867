"""No secret reaches a log line."""

import json
import subprocess
import sys
from typing import Any

import pytest

from libs.telemetry.logs import MASK, mask_secrets

SECRETS = [
    "sk_live_0aZ-_9",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw==",
    "Bearer eyJhbGciOi.JIUzI1-NiJ9_.abc",
    "mongodb://rowdock:s3cret!%40@mongo:27017/?replicaSet=rs0",
    "mongodb+srv://rowdock:p:w@cluster.example/",
    "redis://:s3cret@cache:6379",
]
PARTS = ["0aZ-_9", "MfKQ9r8G", "eyJhbGciOi", "s3cret", "p:w"]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_masked_within_its_text(secret: str) -> None:
    masked = mask_secrets(f"before {secret} after")
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert MASK in masked
    assert not [part for part in PARTS if part in masked]


def test_every_secret_of_a_text_is_masked() -> None:
    assert mask_secrets(" ".join(SECRETS)).count(MASK) == len(SECRETS)


def test_secrets_are_masked_at_any_depth() -> None:
    masked = mask_secrets({"a": [{"b": ("x", {"c": SECRETS})}], "n": 1, "none": None, "list": []})
    assert not [part for part in PARTS if part in json.dumps(masked)]
    assert (masked["n"], masked["none"], masked["list"]) == (1, None, [])


@pytest.mark.parametrize(
    "text",
    ["https://example.com/a:b@c", "mongodb://mongo:27017/?replicaSet=rs0", "user@example.com", "sku: 12", "Bearer", ""],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask_secrets(text) == text


PROGRAM = """
import logging, structlog
from libs.telemetry.logs import configure_logging
configure_logging("writer", "writer-1", "INFO")
log = structlog.get_logger()
log.info("started", run_id="r1", uri="mongodb://u:s3cret@m/")
log.debug("never shown")
logging.getLogger("somebody").warning("told %s", "sk_live_s3cret")
logging.getLogger("aiokafka").info("never shown")
try:
    raise ValueError("Bearer s3cret")
except ValueError:
    log.exception("failed")
    logging.getLogger("somebody").exception("failed too")
"""


def test_every_line_is_json_and_says_who_speaks() -> None:
    program = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    lines: list[dict[str, Any]] = [json.loads(line) for line in program.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["started", f"told {MASK}", "failed", "failed too"]
    assert [line["level"] for line in lines] == ["info", "warning", "error", "error"]
    assert {(line["service"], line["instance"]) for line in lines} == {("writer", "writer-1")}
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert lines[0]["uri"] == f"mongodb://{MASK}@m/"
    assert "ValueError" in lines[2]["exception"]
    assert "ValueError" in lines[3]["exception"]
    assert "s3cret" not in program.stdout + program.stderr
