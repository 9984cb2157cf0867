"""OpenSSH's server, where it is installed."""

import shutil
from pathlib import Path

_USUAL = Path("/usr/sbin/sshd")
"""Where Debian has it, which is in nobody's path but root's."""


def sshd() -> str | None:
    """Where it is; it wants to be started by its whole path."""
    return shutil.which("sshd") or (str(_USUAL) if _USUAL.exists() else None)
