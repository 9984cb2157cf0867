"""What blocked an event loop while tests ran, in this process and in the services of a stack."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from deploy.local.supervision import CHECKOUT
from libs.process.loop_watch import BLOCKED, Block

LIMIT_MS = 100
_KAFKA_ANSWERS = "/aiokafka/protocol/"
"""Kafka's client decodes what brokers say of their topics: long on a slow machine, and of no client's making."""
_OURS = (f"{CHECKOUT}/libs/", f"{CHECKOUT}/services/")


def by_our_code(blocks: Iterable[Block]) -> list[str]:
    """A line for each block in which code of Rowdock ran; tests may keep their own loop busy."""
    return [_line(block.milliseconds, ours) for block in blocks if (ours := _ours(block.stack))]


def logged(logs: Path) -> list[str]:
    """A line for each block in the logs of a stack's services."""
    found: list[str] = []
    for file in sorted(logs.glob("*.log*")):
        for line in file.read_text(errors="replace").splitlines():
            if f'"{BLOCKED}"' in line:
                entry = json.loads(line)
                if any(_KAFKA_ANSWERS in place for place in entry["stack"]):
                    continue
                found.append(f"{file.name}: {_line(entry['milliseconds'], _ours(entry['stack']) or entry['stack'])}")
    return found


def _ours(stack: Sequence[str]) -> list[str]:
    own = (f"{CHECKOUT}/libs/process/loop_watch.py", f"{CHECKOUT}/libs/process/service.py")
    return [place for place in stack if place.startswith(_OURS) and not place.startswith(own)]


def _line(milliseconds: float, stack: Sequence[str]) -> str:
    return f"{milliseconds:.0f} ms: {' > '.join(place.removeprefix(f'{CHECKOUT}/') for place in stack[-4:])}"
