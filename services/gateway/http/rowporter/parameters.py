"""Parameters of queries in this vocabulary."""

from typing import Annotated, Literal

from litestar.params import QueryParameter

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_PAGE = 100_000
PageNumber = Annotated[int, QueryParameter(ge=1, le=MAX_PAGE, description="Page number.")]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Items per page.")]
ImportStatus = Literal["COMPLETED", "FAILED", "PENDING"]
TemplateFilter = Annotated[
    str | None, QueryParameter(name="templateId", min_length=1, max_length=100, description="Filter by template.")
]
StatusFilter = Annotated[ImportStatus | None, QueryParameter(name="status", description="Filter by status.")]
