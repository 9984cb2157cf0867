"""Parameters of paths, and of lists that are read page by page."""

from typing import Annotated, Final

from litestar.params import FromPath, QueryParameter

from libs.contracts.ids import ID_PATTERN

MAX_PAGE: Final = 100

Id = FromPath[str]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE, description="Most entries of a page.")]
# In Python's patterns '$' lets a line break follow, so the length is bounded too.
After = Annotated[
    str | None, QueryParameter(pattern=ID_PATTERN, max_length=24, description="The next_after of the page before.")
]
AfterDigest = Annotated[
    str | None,
    QueryParameter(pattern="^[0-9a-f]{32}$", max_length=32, description="The next_after of the page before."),
]
"""Of things whose ids are made from what they are about."""
