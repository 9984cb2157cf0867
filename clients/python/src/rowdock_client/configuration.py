"""Where the gateway is and with which key: the environment, else the file that ``rowdock login`` has written."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, cast

from rowdock_client.errors import RowdockError

URL = "ROWDOCK_URL"
API_KEY = "ROWDOCK_API_KEY"
PRIVATE = 0o600


class NotConfiguredError(RowdockError):
    """Nobody has said where the gateway is or which key to use, or what was written about it cannot be read."""

    def __init__(self, message: str) -> None:
        super().__init__("NOT_CONFIGURED", message, f"run `rowdock login`, or set {URL} and {API_KEY}")


@dataclass(frozen=True, slots=True)
class Login:
    """A gateway and a key.

    Attributes:
        url: address of the gateway.
        api_key: ``sk_live_…``.
    """

    url: str
    api_key: str

    def __repr__(self) -> str:
        return f"Login(url={self.url!r})"


def login_file(environment: Mapping[str, str] = os.environ) -> Path:
    """The file of the login: ``rowdock/login.json`` in the user's directory of configurations (XDG)."""
    base = environment.get("XDG_CONFIG_HOME", "")
    # The XDG specification says that a path that is not absolute is to be ignored.
    directory = Path(base) if base and Path(base).is_absolute() else Path.home() / ".config"
    return directory / "rowdock" / "login.json"


def load(environment: Mapping[str, str] = os.environ) -> Login:
    """The login: each of address and key from the environment, else from the file.

    Raises:
        NotConfiguredError: one is missing, or the file cannot be read.
    """
    url, api_key = environment.get(URL, ""), environment.get(API_KEY, "")
    if not (url and api_key):
        stored = _stored(login_file(environment))
        url, api_key = url or stored.get("url", ""), api_key or stored.get("api_key", "")
    if not url:
        raise NotConfiguredError("the address of the gateway is not known")
    if not api_key:
        raise NotConfiguredError("there is no API key")
    return Login(url, api_key)


def save(login: Login, environment: Mapping[str, str] = os.environ) -> Path:
    """Write the login for nobody but its user to read, whole or not at all; the file.

    Raises:
        OSError: it cannot be written.
    """
    file = login_file(environment)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Made with mode 0600, so that nobody can open it meanwhile.
    with NamedTemporaryFile("w", dir=file.parent, prefix=".login-", delete=False, encoding="utf-8") as written:
        temporary = Path(written.name)
        try:
            json.dump({"url": login.url, "api_key": login.api_key}, written)
            written.close()
            temporary.chmod(PRIVATE)
            temporary.replace(file)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    return file


def _stored(file: Path) -> dict[str, str]:
    try:
        found: Any = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise NotConfiguredError(f"{file} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise NotConfiguredError(f"{file} holds no object")
    return {name: str(value) for name, value in cast("dict[str, object]", found).items()}
