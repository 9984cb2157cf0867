"""Ports that stay the same from one start to the next as long as nobody else took them."""

import json
import random
import socket
from collections.abc import Sequence
from pathlib import Path

from deploy.local.waiting import LocalStackError

# Below the ephemeral range of Linux (32768) and macOS (49152): a port of that range may be taken as the local end of
# somebody's outgoing connection in the moment between the death and the restart of the process that listened on it.
CANDIDATES = range(20_000, 32_768)


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` of the loopback interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this too; without it the remains of closed connections look like an occupied port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def choose_ports(file: Path, names: Sequence[str]) -> dict[str, int]:
    """Give each name a free port, the one of last time where possible, and remember them in ``file``.

    Raises:
        LocalStackError: no port is free.
    """
    remembered: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    chosen = {name: remembered[name] for name in names if name in remembered and is_free(remembered[name])}
    reserved = {*remembered.values(), *chosen.values()}
    fresh = (port for port in random.sample(CANDIDATES, len(CANDIDATES)) if port not in reserved and is_free(port))
    for name in names:
        if name not in chosen:
            port = next(fresh, None)
            if port is None:
                raise LocalStackError("No free port between 20000 and 32767 on 127.0.0.1: stop some servers.")
            chosen[name] = port
    file.write_text(json.dumps({**remembered, **chosen}, indent=2))
    return chosen
