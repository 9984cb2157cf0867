"""Templates in the words of Rowporter.

Additions to its reference, under the names that they have everywhere, are ``target_resource``, ``webhook_url``,
``webhook_enabled`` and ``webhook_secret``, and in answers ``tenant_id`` and ``errors``. ``embedEnabled`` can
be sent, too.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from libs.contracts.templates import MAX_FIELDS, FieldName, Header, ResourceName, Text
from services.gateway.http.envelope import ProblemView
from services.gateway.http.rowporter.casing import CamelChanges, CamelPart, CamelView, Moment

VOCABULARY = "rowporter"
MAX_HEADER_ROWS = 1_000
ColumnType = Literal["string", "number", "email", "date", "boolean", "url", "phone"]
ValidationType = Literal["minLength", "maxLength", "min", "max", "regex", "enum", "unique"]
_Value = Annotated[
    Any,
    WithJsonSchema(
        {
            "description": "minLength, maxLength, min, max: a number; regex: a pattern, which has to match the whole "
            "value; enum: the allowed values; unique: true or false.",
            "anyOf": [
                {"type": "number"},
                {"type": "string"},
                {"type": "boolean"},
                {"type": "array", "items": {"type": ["string", "number", "boolean"]}},
            ],
        }
    ),
]
_RESOURCE = "The collection that records go to; one of the template's own where absent, made of its name."


class Validation(CamelPart):
    """A rule of a column."""

    type: ValidationType
    value: _Value = None
    message: Text | None = Field(default=None, description="What is told of values that break it.")


class Column(CamelPart):
    """A column of the template, which becomes a field of the record."""

    key: FieldName = Field(description="Unique identifier: the name of the field.")
    name: str = Field(min_length=1, max_length=300, description="Display name.")
    type: ColumnType
    required: bool = False
    description: Text | None = None
    validations: list[Validation] | None = Field(default=[], max_length=20)
    suggested_mappings: list[Header] | None = Field(
        default=[], max_length=50, description="Other headers that the column may have in a file."
    )


class RowporterTemplate(CamelPart):
    """What a file has to look like."""

    name: str = Field(min_length=1, max_length=200)
    description: Text | None = None
    columns: list[Column] = Field(min_length=1, max_length=MAX_FIELDS)
    allow_extra_columns: bool = Field(
        default=False, description="Whether columns that no column of the template reads are kept, under `extra`."
    )
    skip_header_rows: int = Field(
        default=1,
        ge=0,
        le=MAX_HEADER_ROWS,
        description="How many rows come before the data; the last of them names the columns. With 0 nothing does: "
        "columns are `column_1`, `column_2`, …",
    )
    allow_partial_import: bool = Field(
        default=False,
        description="Whether valid rows are imported where others have errors. If not, one error is enough for "
        "nothing to be imported.",
    )
    embed_enabled: bool = Field(default=True, description="Whether an embedded importer may use the template.")
    target_resource: ResourceName | None = Field(default=None, alias="target_resource", description=_RESOURCE)
    webhook_url: str | None = Field(default=None, alias="webhook_url", max_length=2_000)
    webhook_enabled: bool = Field(default=True, alias="webhook_enabled")
    webhook_secret: str | None = Field(
        default=None,
        alias="webhook_secret",
        max_length=200,
        description="`whsec_…`, with which webhooks are signed; made where absent, and shown by this one answer only.",
    )


class RowporterTemplateChanges(RowporterTemplate, CamelChanges):
    """What of a template is to be changed; ``columns`` replace the list before."""


class ColumnView(CamelView):
    """A column."""

    key: str
    name: str
    type: str
    required: bool
    description: str | None
    validations: list[dict[str, Any]]
    suggested_mappings: list[str]


class RowporterTemplateView(CamelView):
    """A template. ``importCount`` is how many imports there are of it."""

    id: str
    name: str
    description: str | None
    columns: list[ColumnView]
    allow_extra_columns: bool
    skip_header_rows: int
    allow_partial_import: bool
    embed_enabled: bool
    import_count: int
    created_at: Moment
    updated_at: Moment
    target_resource: str = Field(alias="target_resource")
    tenant_id: str = Field(alias="tenant_id")
    webhook_url: str | None = Field(alias="webhook_url")
    webhook_enabled: bool = Field(alias="webhook_enabled")
    webhook_secret: str | None = Field(alias="webhook_secret")
    errors: list[ProblemView]


class Pagination(CamelView):
    """Where a page stands: ``total`` entries on ``totalPages`` pages."""

    page: int
    limit: int
    total: int
    total_pages: int


class RowporterTemplatePage(CamelView):
    """Templates, the oldest first."""

    data: list[RowporterTemplateView]
    pagination: Pagination


def pagination(page: int, limit: int, total: int) -> Pagination:
    """Where the page of that number stands, counted from 1."""
    return Pagination(page=page, limit=limit, total=total, total_pages=-(-total // limit))
