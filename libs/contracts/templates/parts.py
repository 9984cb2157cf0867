"""What the parts of a template have in common: names, limits, and how they are read."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

FIELD_NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
RESOURCE_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"
FILE_TYPE_PATTERN = r"^[a-z][a-z0-9_]{0,31}$"
CURRENCY_PATTERN = r"^[A-Z]{3}$"
REGION_PATTERN = r"^[A-Z]{2}$"
RESERVED_FIELD_NAMES = frozenset({"tenant_id", "extra", "is_deleted", "deleted_at", "constructor", "prototype"})
SYSTEM_TIMES = ("created_at", "updated_at")
"""When Rowdock made and last changed a record: in its ``_import``, and at top level unless the template sets them."""
MAX_FIELDS = 500
MAX_PATTERN_CHARS = 500
MAX_ENUM_VALUES = 5_000
MAX_TEXT_CHARS = 2_000
MAX_DATE_FORMAT_CHARS = 40
MAX_DECIMALS = 30
MAX_WORDS = 100
MAX_WORD_CHARS = 100

FieldName = Annotated[str, StringConstraints(pattern=FIELD_NAME_PATTERN)]
ResourceName = Annotated[str, StringConstraints(pattern=RESOURCE_PATTERN)]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARS)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=MAX_WORD_CHARS)]
Header = Annotated[str, StringConstraints(min_length=1, max_length=300)]
DateFormat = Annotated[str, StringConstraints(min_length=1, max_length=MAX_DATE_FORMAT_CHARS)]
FileType = Annotated[str, StringConstraints(pattern=FILE_TYPE_PATTERN)]
Currency = Annotated[str, StringConstraints(pattern=CURRENCY_PATTERN)]
Region = Annotated[str, StringConstraints(pattern=REGION_PATTERN)]
Scalar = str | int | float | bool | None


class TemplatePart(BaseModel):
    """A part of a template as it is stored: what a newer release has added is ignored.

    Whoever judges a client's request passes ``extra="forbid"`` or reads it by a model of its own. What would
    change the meaning of a template, such as a type, rule or transform of an unknown kind, is refused in any case.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")


def added(*, default: object, **constraints: Any) -> Any:  # noqa: ANN401 - as pydantic's Field
    """A member that release 0.1 does not know and would refuse: it is stored only where it says something.

    Args:
        default: its value where a template is silent.
        constraints: as for ``pydantic.Field``.
    """
    return Field(default=default, exclude_if=lambda value: value == default, **constraints)
