"""The name under which an uploaded file is shown."""

import unicodedata

MAX_FILE_NAME_CHARS = 255
UNNAMED = "unnamed"

# Control and format characters (among them the overrides of the writing direction), lone surrogates,
# private use, and the line and paragraph separators.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def display_name(name: str | None) -> str:
    """``name`` as it can be shown anywhere: last part of the path, no invisible characters, at most 255 long."""
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    visible = "".join(char for char in last if unicodedata.category(char) not in _INVISIBLE)
    cut = " ".join(visible.split())[:MAX_FILE_NAME_CHARS].rstrip()
    return cut if cut.strip(".") else UNNAMED
