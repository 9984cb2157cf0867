"""Which release of Rowdock this is."""

from importlib.metadata import PackageNotFoundError, version


def _installed() -> str:
    try:
        return version("rowdock")
    except PackageNotFoundError:
        return "unknown"


# Files are read for it: once, before any event loop runs.
RELEASE = _installed()
"""Version of the release that this process runs, ``unknown`` where Rowdock is not installed as a package."""
