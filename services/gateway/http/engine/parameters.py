"""Parameters of the engine's paths and queries."""

from typing import Annotated

from litestar.params import QueryParameter

from libs.contracts.rejections import RejectedState
from libs.contracts.states import RunStatus

MAX_REJECTED_PAGE = 1_000

RejectedLimit = Annotated[int, QueryParameter(ge=1, le=MAX_REJECTED_PAGE, description="Most entries of a page.")]
AfterRow = Annotated[int, QueryParameter(ge=0, le=2**32, description="The next_after of the page before.")]
ConfirmDeletes = Annotated[
    str | None,
    QueryParameter(
        pattern="^(true|[0-9]{1,10})$",
        max_length=10,
        description="How many records a sync may delete: the number that it asked about, or `true` for any.",
    ),
]
AfterRecord = Annotated[
    str | None, QueryParameter(min_length=1, max_length=1_000, description="The next_after of the page before.")
]
RunFilter = Annotated[RunStatus | None, QueryParameter(description="Only runs in this status.")]
TemplateFilter = Annotated[
    str | None, QueryParameter(min_length=1, max_length=100, description="Only runs of this template.")
]
PreviewVersion = Annotated[
    str | None,
    QueryParameter(min_length=1, max_length=100, description="The version of the preview that was looked at."),
]
IgnoreChanges = Annotated[
    bool, QueryParameter(description="Whether the run is executed also where other runs have changed the target since.")
]
RunOfRows = Annotated[
    str, QueryParameter(min_length=1, max_length=100, description="The run whose rejected rows are wanted.")
]
RejectedFilter = Annotated[RejectedState | None, QueryParameter(description="Only rows in this state.")]
IncludeUncorrected = Annotated[bool, QueryParameter(description="Retry rows that nobody has corrected too.")]
DryRun = Annotated[bool, QueryParameter(description="Only count the rows and show examples; change nothing.")]
