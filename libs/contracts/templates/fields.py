"""Fields of the target record: their types, and where their values come from."""

from enum import StrEnum

from pydantic import Field

from libs.contracts.templates.parts import (
    MAX_DECIMALS,
    MAX_ENUM_VALUES,
    MAX_WORDS,
    Currency,
    DateFormat,
    FieldName,
    Header,
    Region,
    TemplatePart,
    Text,
    Word,
    added,
)
from libs.contracts.templates.rules import Required, Rule
from libs.contracts.templates.transforms import Concat, Constant, Default, Transform


class FieldType(StrEnum):
    TEXT = "text"
    NUMBER = "number"
    EMAIL = "email"
    DATE = "date"
    BOOLEAN = "boolean"
    PHONE = "phone"
    URL = "url"
    SELECT = "select"
    CUSTOM_REGEX = "custom_regex"


class DateOrder(StrEnum):
    """How 03/04/2025 is read. A date that starts with a four-digit year is year, month, day in any case."""

    DMY = "dmy"
    MDY = "mdy"
    YMD = "ymd"


class DecimalStyle(StrEnum):
    """What stands before the decimals: ``1,234.5`` (point) or ``1.234,5`` (comma)."""

    POINT = "point"
    COMMA = "comma"


class Percent(StrEnum):
    """What ``12 %`` is."""

    FRACTION = "fraction"
    """0.12"""
    AS_IS = "as_is"
    """12"""


class TemplateField(TemplatePart):
    """One field of the target record.

    Attributes:
        name: key in the record.
        label: name shown to people.
        description: help for people.
        column: header of the source column. Where it is absent, the column is found by name, label and aliases.
        aliases: other headers that the column may have.
        type: what the text of the cell must be.
        date_format: for ``date``: the only form that is read, in tokens such as ``YYYY-MM-DD``, see
            ``libs.contracts.date_formats``. Without it: ISO 8601, day, month and year as ``date_order`` says,
            month names, dumps of databases, and Excel's serial numbers.
        date_order: for ``date`` without a format; found out from the column where absent.
        past: for ``date``: no date is after the day of the import; a later one is refused, and two-digit years are read
            accordingly.
        decimal_style: for ``number``; found out from the column where absent.
        integer: for ``number``: refuse a fraction; ``5.0`` and ``1E+5`` have none.
        decimals: for ``number``: an exact decimal number, rounded half up to so many decimals.
        percent: for ``number``: what ``12 %`` is; a number with a percent sign is refused where absent.
        currency: for ``number``: ISO 4217 code of the currency that amounts may name; that of the column where absent.
        options: for ``select``: the values to choose from.
        true_values: for ``boolean``: the words that mean true, whatever their case; with ``false_values``, and instead
            of all words that are known otherwise.
        false_values: likewise.
        null_values: texts that mean "no value" in this field, instead of the template's.
        region: for ``phone``: ISO 3166 code for numbers without a country code; the template's
            ``default_region`` where absent.
        transforms: applied to the text in this order, before type and rules.
        rules: all are checked; every broken one is reported.
    """

    name: FieldName
    label: Text | None = None
    description: Text | None = None
    column: Header | None = None
    aliases: tuple[Header, ...] = Field(default=(), max_length=50)
    type: FieldType = FieldType.TEXT
    date_format: DateFormat | None = None
    date_order: DateOrder | None = None
    past: bool = added(default=False)
    decimal_style: DecimalStyle | None = None
    integer: bool = False
    decimals: int | None = Field(default=None, ge=0, le=MAX_DECIMALS)
    percent: Percent | None = added(default=None)
    currency: Currency | None = added(default=None)
    options: tuple[Text, ...] = Field(default=(), max_length=MAX_ENUM_VALUES)
    true_values: tuple[Word, ...] = added(default=(), max_length=MAX_WORDS)
    false_values: tuple[Word, ...] = added(default=(), max_length=MAX_WORDS)
    null_values: tuple[Text, ...] | None = added(default=None, max_length=MAX_WORDS)
    region: Region | None = None
    transforms: tuple[Transform, ...] = Field(default=(), max_length=20)
    rules: tuple[Rule, ...] = Field(default=(), max_length=20)

    @property
    def source(self) -> str:
        """The header that the field is read from, as far as the template knows it."""
        return self.column or self.label or self.name

    @property
    def required(self) -> bool:
        return any(isinstance(rule, Required) for rule in self.rules)

    @property
    def reads_column(self) -> bool:
        """Whether the value comes from the field's own column at all."""
        return not any(isinstance(transform, Constant | Concat) for transform in self.transforms)

    @property
    def filled_when_empty(self) -> bool:
        """Whether the field has a value even where its column is missing or empty."""
        return any(isinstance(transform, Constant | Default) for transform in self.transforms)
