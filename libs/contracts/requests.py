"""What internal producers ask for on Kafka, and how they are answered.

A request is no event: it is read strictly, because an unknown member may be a typing error, and its sender is told so.
"""

from typing import Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator

from libs.contracts.events import Event
from libs.contracts.ids import ID_PATTERN

REQUEST_VERSION: Final = 1
"""``schema_version`` of requests that are understood."""
REQUEST_ID_PATTERN: Final = r"^[\x21-\x7e]{1,200}$"
MAX_NAME_CHARS: Final = 255
MAX_MEMBERS: Final = 1_000
"""Of a mapping or of metadata."""
MAX_TOLD_PROBLEMS: Final = 100
TOKEN_HEADER: Final = "rowdock-token"  # noqa: S105 - the name of a header
TOKEN_AUDIENCE: Final = "imports.requested.v1"  # noqa: S105 - as above
TOKEN_ALGORITHM: Final = "EdDSA"  # noqa: S105 - as above


class ImportRequested(BaseModel):
    """An internal producer asks for an import of rows, or of a file that is stored already.

    Attributes:
        request_id: the producer's own; of one organization each makes one run, however often it comes.
        tenant_id: the organization whose records are changed.
        template_id, template_key: the template, one of the two.
        rows: objects of values by the name of their column; or:
        file_id: a file of the organization that is stored: the id of the run that it came with.
        file_name: for display.
        mapping: column and the field that it fills, or null for a column that is not wanted; by name where absent.
        metadata: kept on the run.
        external_user_id: kept on the run.
        auto_execute: write what is valid once all is checked; otherwise the run waits to be executed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    event_id: str = Field(min_length=1, max_length=MAX_NAME_CHARS)
    occurred_at: AwareDatetime
    schema_version: int = Field(default=REQUEST_VERSION, ge=1, le=REQUEST_VERSION)
    request_id: str = Field(pattern=REQUEST_ID_PATTERN)
    tenant_id: str = Field(pattern=ID_PATTERN)
    template_id: str | None = Field(default=None, min_length=1, max_length=MAX_NAME_CHARS)
    template_key: str | None = Field(default=None, min_length=1, max_length=MAX_NAME_CHARS)
    rows: tuple[dict[str, JsonValue], ...] | None = Field(default=None, min_length=1)
    file_id: str | None = Field(default=None, pattern=ID_PATTERN)
    file_name: str | None = Field(default=None, max_length=MAX_NAME_CHARS)
    mapping: dict[str, str | None] | None = Field(default=None, max_length=MAX_MEMBERS)
    metadata: dict[str, JsonValue] | None = Field(default=None, max_length=MAX_MEMBERS)
    external_user_id: str | None = Field(default=None, max_length=MAX_NAME_CHARS)
    auto_execute: bool = True

    @model_validator(mode="after")
    def _says_what_and_by_what(self) -> Self:
        if (self.template_id is None) == (self.template_key is None):
            raise ValueError("name the template by one of template_id and template_key")
        if (self.rows is None) == (self.file_id is None):
            raise ValueError("send one of rows and file_id")
        return self


class RequestProblem(BaseModel):
    """What is wrong with one place of a request, and how to mend it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    location: str
    code: str
    message: str


class RequestAccepted(Event):
    """A request has made a run, or made it before; the run's own events follow, with the ``request_id``."""

    kind: Literal["request-accepted"] = "request-accepted"
    request_id: str
    tenant_id: str
    run_id: str
    template_id: str


class RequestRejected(Event):
    """A request has made no run, and nothing of it is left; the same ``request_id`` may be sent again, mended.

    Attributes:
        problems: all that is wrong, at most 100.
        untold: how many more there are.
        retry_after_seconds: when it is worth sending again unchanged; absent where it is not.
    """

    kind: Literal["request-rejected"] = "request-rejected"
    request_id: str
    tenant_id: str
    code: str
    message: str
    problems: tuple[RequestProblem, ...] = ()
    untold: int = 0
    retry_after_seconds: int | None = None
