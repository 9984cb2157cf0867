"""Importers in the words of the importers API.

Additions to its reference are ``target_resource``, ``webhook_secret``, and in answers ``tenant_id`` and ``errors``.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from libs.contracts.templates import (
    MAX_ENUM_VALUES,
    MAX_FIELDS,
    MAX_PATTERN_CHARS,
    DateFormat,
    FieldName,
    ResourceName,
    Text,
)
from services.gateway.http.envelope import ProblemView
from services.gateway.http.request_shape import Json, Part

VOCABULARY = "importers"

ValidatorType = Literal["required", "min_length", "max_length", "min", "max", "regex", "unique"]
TransformationType = Literal[
    "trim", "uppercase", "lowercase", "capitalize", "remove_special_chars", "normalize_phone", "normalize_date",
    "default", "replace",
]  # fmt: skip


class _Piece(Part):
    """A validator or a transformation, which shows only the members that its type has."""

    @model_serializer(mode="wrap")
    def _without_absent(self, handler: SerializerFunctionWrapHandler) -> Json:
        return {name: value for name, value in handler(self).items() if value is not None}


class ImporterValidator(_Piece):
    """A rule: ``value`` for the four bounds, ``pattern`` for ``regex``, which has to match the whole text."""

    type: ValidatorType
    value: int | float | None = None
    pattern: str | None = Field(default=None, min_length=1, max_length=MAX_PATTERN_CHARS)
    message: Text | None = None


class ImporterTransformation(_Piece):
    """A change of the text, before it is checked: ``format`` for ``normalize_date``, ``value`` for ``default``,
    ``find`` and ``replace`` for ``replace``.
    """

    type: TransformationType
    format: DateFormat | None = Field(default=None, examples=["YYYY-MM-DD"])
    value: Text | None = None
    find: Text | None = Field(default=None, min_length=1)
    replace: Text | None = None


class ImporterField(Part):
    """A field of the importer. ``custom_regex`` needs a ``regex`` validator, ``select`` needs ``options``."""

    name: FieldName
    display_name: Text | None = None
    type: Literal["text", "email", "number", "date", "phone", "boolean", "select", "custom_regex"]
    validators: list[ImporterValidator] | None = Field(default=[], max_length=20)
    transformations: list[ImporterTransformation] | None = Field(default=[], max_length=20)
    options: list[Text] | None = Field(default=None, max_length=MAX_ENUM_VALUES)


class Importer(Part):
    """What an import asks for and what becomes of it."""

    name: str = Field(min_length=1, max_length=200)
    description: Text | None = None
    fields: list[ImporterField] = Field(min_length=1, max_length=MAX_FIELDS)
    webhook_url: str | None = Field(default=None, max_length=2_000)
    webhook_enabled: bool = True
    include_data_in_webhook: bool = Field(default=False, description="Include processed data in webhook payload.")
    webhook_data_sample_size: int | None = Field(
        default=None, ge=0, le=1_000, description="Number of rows to include in webhook sample."
    )
    include_unmatched_columns: bool = Field(
        default=False, description="Include CSV columns not defined in schema: under `extra` of the record."
    )
    filter_invalid_rows: bool = Field(default=False, description="Filter out rows that fail validation.")
    disable_on_invalid_rows: bool = Field(
        default=False,
        description="Prevent import if any row has errors. With neither of both, invalid rows are imported with "
        "warnings; with both, this one decides.",
    )
    dark_mode: bool = Field(default=False, description="Enable dark mode for the importer UI.")
    target_resource: ResourceName | None = Field(
        default=None,
        description="The collection that records go to; one of the importer's own where absent, made of its name.",
    )
    webhook_secret: str | None = Field(
        default=None,
        max_length=200,
        description="`whsec_…`, with which webhooks are signed; made where absent, and shown by this one answer only.",
    )


def _all_optional(schema: Json) -> None:
    schema.pop("required")
    for member in schema["properties"].values():
        member.pop("default", None)


class ImporterChanges(Importer):
    """What of an importer is to be changed; what is absent stays as it is."""

    model_config = ConfigDict(json_schema_extra=_all_optional)


class ImporterFieldView(BaseModel):
    """A field with what is computed: ``id`` is its name, ``label`` its display name or words made of its name."""

    name: str
    display_name: str | None
    id: str
    label: str
    type: str
    validators: list[ImporterValidator]
    transformations: list[ImporterTransformation]
    options: list[str] | None


class ImporterView(BaseModel):
    """An importer.

    ``key`` names it where its id is not to be known, and never changes. ``webhook_secret`` is shown once, by the call
    that made it. ``webhook_enabled`` is what is the case: false also where Rowdock stopped sending by itself.
    ``errors`` tells what of the importer has no effect at present, such as a receiver that was switched off.
    """

    id: str
    name: str
    key: str
    description: str | None
    fields: list[ImporterFieldView]
    webhook_url: str | None
    webhook_enabled: bool
    include_data_in_webhook: bool
    webhook_data_sample_size: int | None
    include_unmatched_columns: bool
    filter_invalid_rows: bool
    disable_on_invalid_rows: bool
    dark_mode: bool
    created_at: datetime
    updated_at: datetime
    target_resource: str
    tenant_id: str
    webhook_secret: str | None
    errors: list[ProblemView]
