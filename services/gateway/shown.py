"""Values of a client as a message can hold them."""

MAX_SHOWN_CHARS = 80


def shown(value: object) -> str:
    """``value`` as one printable line of bounded length."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}…"
