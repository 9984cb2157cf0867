"""Rules: what is asked of the values of a field."""

from typing import Annotated, Literal

from pydantic import Field

from libs.contracts.templates.parts import MAX_ENUM_VALUES, MAX_PATTERN_CHARS, FieldName, TemplatePart, Text


class Required(TemplatePart):
    type: Literal["required"] = "required"
    message: Text | None = None


class MinLength(TemplatePart):
    type: Literal["min_length"] = "min_length"
    value: int = Field(ge=0)
    message: Text | None = None


class MaxLength(TemplatePart):
    type: Literal["max_length"] = "max_length"
    value: int = Field(ge=0)
    message: Text | None = None


class Min(TemplatePart):
    type: Literal["min"] = "min"
    value: float = Field(allow_inf_nan=False)
    message: Text | None = None


class Max(TemplatePart):
    type: Literal["max"] = "max"
    value: float = Field(allow_inf_nan=False)
    message: Text | None = None


class Regex(TemplatePart):
    """The whole value must match, in the syntax of Rust's ``regex`` crate (linear time)."""

    type: Literal["regex"] = "regex"
    pattern: str = Field(min_length=1, max_length=MAX_PATTERN_CHARS)
    message: Text | None = None


class OneOf(TemplatePart):
    type: Literal["enum"] = "enum"
    values: tuple[Text, ...] = Field(min_length=1, max_length=MAX_ENUM_VALUES)
    message: Text | None = None


class Unique(TemplatePart):
    """No two rows of the file hold the same value; the first row of the file keeps it.

    Attributes:
        fields: further fields: then no two rows hold the same combination. A row in which one of
            them is empty repeats nothing.
        against_target: neither may a live record of the target hold it, other than the one that the
            row updates.
    """

    type: Literal["unique"] = "unique"
    fields: tuple[FieldName, ...] = Field(default=(), max_length=10)
    against_target: bool = False
    message: Text | None = None


class RequiredIf(TemplatePart):
    """A value is required where another field has one, or one of ``values`` (compared as text after transforms)."""

    type: Literal["required_if"] = "required_if"
    field: FieldName
    values: tuple[Text, ...] | None = Field(default=None, min_length=1, max_length=MAX_ENUM_VALUES)
    message: Text | None = None


class Compare(TemplatePart):
    """The value relates to that of another field as said: ``end`` ``ge`` ``start``. Empty values pass."""

    type: Literal["compare"] = "compare"
    operator: Literal["eq", "ne", "lt", "le", "gt", "ge"]
    field: FieldName
    message: Text | None = None


Rule = Annotated[
    Required | MinLength | MaxLength | Min | Max | Regex | OneOf | Unique | RequiredIf | Compare,
    Field(discriminator="type"),
]
