"""Date formats as people write them in templates: ``YYYY-MM-DD``, ``D. MMMM YYYY``.

Tokens: ``YYYY MM DD HH mm ss``.
"""

import re

_DATE_TOKENS = re.compile(r"YYYY|MM|DD|HH|mm|ss")
_DATE_LITERALS = re.compile(r"[-/. :T]*")


def date_format_problem(date_format: str) -> str | None:
    """Why a date format cannot work, or ``None``. Tokens: ``YYYY MM DD HH mm ss``."""
    tokens: list[str] = _DATE_TOKENS.findall(date_format)
    rest = _DATE_TOKENS.sub("", date_format)
    if not _DATE_LITERALS.fullmatch(rest):
        return f"date_format {date_format!r}: only YYYY MM DD HH mm ss and the signs - / . : space T are understood"
    if not {"YYYY", "MM", "DD"} <= set(tokens):
        return f"date_format {date_format!r} must hold YYYY, MM and DD"
    if len(tokens) != len(set(tokens)):
        return f"date_format {date_format!r} holds a token twice"
    return None
