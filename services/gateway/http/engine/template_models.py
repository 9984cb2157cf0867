"""Templates in the words of the import engine.

Names of the engine's own are kept; the rest are additions, under the names of the model: per field ``type``,
``label``, ``description``, ``aliases``, ``date_format``, ``date_order``, ``past``, ``decimal_style``, ``integer``,
``decimals``, ``percent``, ``currency``, ``options``, ``region``, ``true_values``, ``false_values``, ``null_values``,
``validators``, ``transformations``; per template ``null_values``, ``two_digit_year_pivot``, ``zero_dates``, the
``default_…`` of the three styles, ``include_unmatched_columns``, ``invalid_rows``, ``auto_execute``, ``dark_mode``, the
``webhook_…``, ``record_events``, and ``auto`` as a ``file_type``. ``transform`` is applied before ``transformations``.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from libs.contracts.templates import (
    MAX_DECIMALS,
    MAX_ENUM_VALUES,
    MAX_FIELDS,
    MAX_TEXT_CHARS,
    MAX_WORDS,
    Currency,
    DateFormat,
    FieldName,
    Header,
    Region,
    ResourceName,
    Text,
    Word,
)
from libs.formats.file_types import BUILT_IN
from services.gateway.http.envelope import ProblemView
from services.gateway.http.field_parts import Transformation, TypeName, Validator
from services.gateway.http.request_shape import Part

VOCABULARY = "engine"
AUTO = "auto"
"""The ``file_type`` of a template whose files say themselves what they are."""
MAX_TRANSFORM_CHARS = MAX_TEXT_CHARS + len("constant:")

_Scalar = Annotated[Any, WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]
_Width = {"type": "integer", "minimum": 1}
_ColumnWidths = Annotated[
    Any,
    WithJsonSchema(
        {
            "description": "Widths in the order of the columns; with names where the file has no header line.",
            "anyOf": [
                {"type": "array", "items": _Width},
                {"type": "object", "additionalProperties": _Width},
                {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["width"],
                        "properties": {"name": {"type": ["string", "null"]}, "width": _Width},
                    },
                },
                {"type": "null"},
            ],
        }
    ),
]


class EngineFieldMapping(Part):
    """One field of the target record and the column that it is read from.

    Without ``source`` the column is found by ``target``, ``label`` and ``aliases``.
    """

    source: Header | None = None
    target: FieldName
    required: bool = False
    transform: str | None = Field(
        default=None,
        max_length=MAX_TRANSFORM_CHARS,
        description="trim, upper, lower, boolean, integer, decimal:N, date:FORMAT, constant:VALUE or concat:f1,f2",
    )
    type: TypeName | None = None
    label: Text | None = None
    description: Text | None = None
    aliases: list[Header] = Field(default=[], max_length=50)
    date_format: DateFormat | None = Field(default=None, examples=["YYYY-MM-DD"])
    date_order: Literal["dmy", "mdy", "ymd"] | None = None
    past: bool | None = Field(
        default=None, description="Of dates: none is after the day of the import, and two-digit years are read so."
    )
    decimal_style: Literal["point", "comma"] | None = None
    integer: bool | None = None
    decimals: int | None = Field(default=None, ge=0, le=MAX_DECIMALS)
    percent: Literal["fraction", "as_is"] | None = Field(
        default=None, description="What 12 % is: 0.12 or 12. Numbers with a percent sign are refused where absent."
    )
    currency: Currency | None = Field(
        default=None, description="ISO 4217 code that amounts may name; found out from the column where absent."
    )
    options: list[Text] | None = Field(default=None, max_length=MAX_ENUM_VALUES)
    region: Region | None = None
    true_values: list[Word] | None = Field(default=None, max_length=MAX_WORDS)
    false_values: list[Word] | None = Field(default=None, max_length=MAX_WORDS)
    null_values: list[Text] | None = Field(default=None, max_length=MAX_WORDS)
    validators: list[Validator] = Field(default=[], max_length=20)
    transformations: list[Transformation] = Field(default=[], max_length=20)


class EngineTemplate(Part):
    """The blueprint of an import: what the file looks like and what becomes of it."""

    name: str = Field(min_length=1, max_length=200)
    description: Text | None = None
    file_type: str = Field(
        default="csv",
        description=f"{', '.join(BUILT_IN)}, a registered format of your own, or {AUTO}: what the file says it is.",
    )
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    encoding: str | None = Field(default=None, min_length=1, max_length=40)
    has_header: bool | None = Field(default=None, description="Default: true, except for fixed_width.")
    skip_rows: int = Field(default=0, ge=0, le=1_000)
    skip_footer_rows: int | None = Field(
        default=None,
        ge=0,
        le=1_000,
        description="Of CSV and Excel: rows at the end that are no data; found out where absent.",
    )
    comment_prefix: str | None = Field(
        default=None, min_length=1, max_length=10, description="Of CSV: what the lines begin with that are no rows."
    )
    quote_char: str | None = Field(
        default=None,
        max_length=1,
        description="Of CSV: what cells are enclosed in; empty where quotes are plain text; found out where absent.",
    )
    escape_char: str | None = Field(
        default=None,
        max_length=1,
        description="Of CSV: what makes the next quote text; empty where nothing does. Found out where absent.",
    )
    column_widths: _ColumnWidths = None
    width_unit: Literal["characters", "bytes"] = "characters"
    sheet: Annotated[int, Field(ge=0, le=10_000)] | Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="Of a workbook: name, or index from 0."
    )
    record_path: str | None = Field(
        default=None,
        min_length=1,
        max_length=1_000,
        description="Of JSON (data.items or /data/items) and XML (rss/channel/item): where the records are, if that is "
        "not to be found out from the file.",
    )
    hidden_rows: Literal["include", "skip"] = Field(default="include", description="Of a workbook.")
    hidden_columns: Literal["include", "skip"] = Field(default="include", description="Of a workbook.")
    target_resource: ResourceName
    import_mode: Literal["append", "create", "upsert", "update", "sync"] = "append"
    upsert_key: FieldName | None = None
    delete_column: Header | None = None
    scope_filter: dict[str, Any] | None = None
    default_values: dict[FieldName, _Scalar] = Field(default={})
    required_columns: list[Header] = Field(default=[], max_length=MAX_FIELDS)
    include_unmatched_columns: bool = False
    default_date_order: Literal["dmy", "mdy", "ymd"] = "dmy"
    default_decimal_style: Literal["point", "comma"] = "point"
    default_region: Region = "US"
    two_digit_year_pivot: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="The first two-digit year of the 20th century. Absent: 69, and no year more than 20 years ahead.",
    )
    zero_dates: Literal["error", "empty"] = Field(default="error", description="What 0000-00-00 and the like are.")
    null_values: list[Text] | None = Field(
        default=None,
        max_length=MAX_WORDS,
        description='Texts that mean "no value" in every field; absent: the usual ones in all fields but texts.',
    )
    field_mapping: list[EngineFieldMapping] = Field(min_length=1, max_length=MAX_FIELDS)
    invalid_rows: Literal["skip", "block", "keep"] = "skip"
    auto_execute: bool = False
    dark_mode: bool = False
    webhook_url: str | None = Field(default=None, max_length=2_000)
    webhook_enabled: bool = True
    webhook_secret: str | None = Field(default=None, max_length=200)
    include_data_in_webhook: bool = False
    webhook_data_sample_size: int | None = Field(default=None, ge=0, le=1_000)
    record_events: Literal["off", "ids", "fields", "values"] = Field(
        default="off",
        description="What `records.changed.v1` on Kafka tells trusted consumers of the records that runs change: "
        "nothing, their ids, also the names of the fields that changed, also their values.",
    )
    shared_with_children: bool = Field(
        default=False, description="Whether the organizations below may use the template too, without changing it."
    )
    version: int | None = Field(
        default=None, ge=1, description="With PUT: the version that is being replaced; 409 where it no longer is."
    )


class CopiedFromView(BaseModel):
    """The template that one was copied from, and whose it is."""

    template_id: str
    tenant_id: str
    version: int


class EngineTemplateView(EngineTemplate):
    """A stored template.

    ``tenant_id`` is the organization that has it. Where another one, above, shares it with the one that asks, that is
    said once more by ``shared_from_tenant_id``, ``read_only`` is true, and its receiver is not shown; it can be copied.
    ``copied_from`` says what a copy was made of.
    ``webhook_secret`` is shown once, by the call that made it. ``webhook_enabled`` is what is the case: it is false
    also where Rowdock stopped sending by itself, with ``webhook_disabled_at`` and ``webhook_disabled_reason``; saving
    the template with ``true`` switches it on again. ``errors`` tells, in the form that every refusal has, what of the
    template does not work at present although it could be saved: a receiver that Rowdock switched off.
    """

    model_config = ConfigDict(extra="forbid", strict=False, frozen=True)

    id: str
    tenant_id: str
    shared_from_tenant_id: str | None = None
    read_only: bool = False
    copied_from: CopiedFromView | None = None
    webhook_disabled_at: datetime | None = None
    webhook_disabled_reason: str | None = None
    errors: list[ProblemView] = Field(default=[])
    version: int | None = 1
    created_at: datetime
    updated_at: datetime
