"""Transforms: how the text of a cell is changed before it is checked."""

from typing import Annotated, Literal

from pydantic import Field

from libs.contracts.templates.parts import MAX_TEXT_CHARS, DateFormat, Header, Region, TemplatePart, Text


class Trim(TemplatePart):
    type: Literal["trim"] = "trim"


class Upper(TemplatePart):
    type: Literal["upper"] = "upper"


class Lower(TemplatePart):
    type: Literal["lower"] = "lower"


class Capitalize(TemplatePart):
    """First Letter Of Each Word."""

    type: Literal["capitalize"] = "capitalize"


class Default(TemplatePart):
    """An empty value becomes ``value``."""

    type: Literal["default"] = "default"
    value: Text


class Replace(TemplatePart):
    """Every occurrence of the literal text ``find`` becomes ``replace``."""

    type: Literal["replace"] = "replace"
    find: str = Field(min_length=1, max_length=MAX_TEXT_CHARS)
    replace: Text = ""


class RemoveSpecialChars(TemplatePart):
    """Only letters, digits (of any script) and spaces stay."""

    type: Literal["remove_special_chars"] = "remove_special_chars"


class NormalizePhone(TemplatePart):
    """A number of the region's own numbering plan in its national format, ``(650) 253-0000``; any other in the
    international one. What is no phone number stays as it is.

    Attributes:
        region: ISO 3166 code for numbers without a country code; the template's ``default_region`` if absent.
    """

    type: Literal["normalize_phone"] = "normalize_phone"
    region: Region | None = None


class NormalizeDate(TemplatePart):
    """A date in any form that the type ``date`` understands becomes text in ``format``; other text stays as it is."""

    type: Literal["normalize_date"] = "normalize_date"
    format: DateFormat = "YYYY-MM-DD"


class Constant(TemplatePart):
    """The field has this text in every row; its column is not read."""

    type: Literal["constant"] = "constant"
    value: Text


class Concat(TemplatePart):
    """The cells of these columns of the file that are not empty, joined by spaces."""

    type: Literal["concat"] = "concat"
    columns: tuple[Header, ...] = Field(min_length=1, max_length=20)


Transform = Annotated[
    Trim
    | Upper
    | Lower
    | Capitalize
    | RemoveSpecialChars
    | NormalizePhone
    | NormalizeDate
    | Default
    | Replace
    | Constant
    | Concat,
    Field(discriminator="type"),
]
