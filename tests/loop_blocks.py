"""What blocked an event loop while tests ran, in this process and in the services of a stack.

A busy machine may make one step of a process cost several times its processor time, once. So a place counts that
blocks its loop again and again, or for very long.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from deploy.local.supervision import CHECKOUT
from libs.process.loop_watch import BLOCKED, Block

LIMIT_MS = 100
AGAIN = 3
LONG_MS = 500
_OURS = (f"{CHECKOUT}/libs/", f"{CHECKOUT}/services/")
_AROUND = ("libs/process/loop_watch.py", "libs/process/service.py", "__main__.py")
"""What runs a loop, and is below everything in it."""
_SETTING_UP = (
    "services/gateway/app.py:create_app",
    "services/webhooks/http_sender.py:__init__",
    # PyMongo notes where a client was made, and Python then looks at every file of a traceback that it remembers.
    "libs/storage/client.py:connect",
)
"""What a service does before it serves anybody, and tests do in their loop for each of them."""


def by_our_code(blocks: Iterable[Block]) -> list[str]:
    """A line for each place of Rowdock that blocked a loop as said above; tests may keep their own loop busy."""
    by_place: dict[str, list[Block]] = defaultdict(list)
    for block in blocks:
        if (ours := _ours(block.stack)) and (place := _place(ours[-1])) not in _SETTING_UP:
            by_place[place].append(block)
    return [
        f"{place}, {len(found)} times, up to {max(block.milliseconds for block in found):.0f} ms: "
        f"{' > '.join(each.removeprefix(f'{CHECKOUT}/') for each in found[-1].stack[-4:])}"
        for place, found in sorted(by_place.items())
        if len(found) >= AGAIN or any(block.milliseconds >= LONG_MS for block in found)
    ]


def logged(logs: Path) -> list[str]:
    """A line for each place that blocked a service of a stack, from their logs."""
    found: list[Block] = []
    for file in sorted(logs.glob("*.log*")):
        for line in file.read_text(errors="replace").splitlines():
            if f'"{BLOCKED}"' in line:
                entry = json.loads(line)
                found.append(Block(entry["milliseconds"], tuple(entry["stack"])))
    return by_our_code(found)


def _ours(stack: Sequence[str]) -> list[str]:
    return [place for place in stack if place.startswith(_OURS) and not place.split(":", 1)[0].endswith(_AROUND)]


def _place(entry: str) -> str:
    """File and function of an entry of a stack, ``file:line function``."""
    file, _, rest = entry.partition(":")
    return f"{file.removeprefix(f'{CHECKOUT}/')}:{rest.partition(' ')[2]}"
