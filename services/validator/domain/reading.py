"""How the texts of one file are to be understood, beyond what the template says about each field."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from libs.contracts.date_formats import YEARS_AHEAD
from libs.contracts.letters import PLAIN_PAIRS
from libs.contracts.plan import ParsePlan
from libs.contracts.spelling import cleaned, same_words
from libs.contracts.templates import DateOrder, DecimalStyle, FieldType, Template, TemplateField
from libs.values.currencies import spellings_of
from services.validator.domain.date_parts import TwoDigitYears
from services.validator.domain.words import FALSE_WORDS, TRUE_WORDS, null_words_beside

_WITHOUT_NULL_WORDS = frozenset({FieldType.TEXT, FieldType.CUSTOM_REGEX})
"""Types of which every text may be a value."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Decided once per file and column, never per row.

    Attributes:
        date_orders: order of day, month and year by field, as the parse plan froze it.
        decimal_styles: style of the numbers by field, as the parse plan froze it.
        default_date_order: for fields that the plan says nothing about.
        default_decimal_style: likewise.
        short_years: where two-digit years stand in dates of three numbers by field, as the parse plan froze it.
        uncounted_days: fields in whose columns no number is a count of days, as the parse plan froze it.
        two_digit_year_pivot: the first two-digit year of the 20th century; ``None`` where the template does not say.
        today: the day of the parse plan.
        empty_zero_dates: a date of zeros is an empty value.
        default_region: ISO 3166 code for phone numbers without a country code.
        currencies: what the amounts of a field are in, as the parse plan froze it.
        mixed_numbers: fields whose columns hold numbers of the format and texts with a decimal comma.
        typed_numbers: the format writes its numbers with a decimal point whatever the style of the column is.
        letter_pairs: the letters for yes and no by field, as the parse plan froze them.
        null_values: the template's texts that mean "no value"; ``None`` where it names none.
        typed_cells: the format itself knows dates and numbers (Excel): its dates arrive as ISO 8601 text
            whatever ``date_format`` says, its numbers with a decimal point whatever the style is.
        date_1904: serial numbers of dates count from 1904 instead of 1900.
    """

    date_orders: Mapping[str, DateOrder] = field(default_factory=dict[str, DateOrder])
    decimal_styles: Mapping[str, DecimalStyle] = field(default_factory=dict[str, DecimalStyle])
    currencies: Mapping[str, str] = field(default_factory=dict[str, str])
    short_years: Mapping[str, Literal["first", "last"]] = field(default_factory=dict[str, Literal["first", "last"]])
    uncounted_days: frozenset[str] = frozenset()
    two_digit_year_pivot: int | None = None
    today: date | None = None
    empty_zero_dates: bool = False
    default_date_order: DateOrder = DateOrder.DMY
    default_decimal_style: DecimalStyle = DecimalStyle.POINT
    default_region: str = "US"
    mixed_numbers: frozenset[str] = frozenset()
    typed_numbers: bool = False
    letter_pairs: Mapping[str, str] = field(default_factory=dict[str, str])
    null_values: tuple[str, ...] | None = None
    typed_cells: bool = False
    date_1904: bool = False

    def date_order(self, of: TemplateField) -> DateOrder:
        """The template's word for the field, else the plan's, else the template's default."""
        return of.date_order or self.date_orders.get(of.name, self.default_date_order)

    def two_digit_years(self, of: TemplateField) -> TwoDigitYears:
        """What two-digit years of the field mean."""
        position = self.short_years.get(of.name)
        if of.date_order is not None:
            position = "first" if of.date_order is DateOrder.YMD else "last"
        horizon = None if self.today is None else self.today.year + YEARS_AHEAD
        return TwoDigitYears(position, self.two_digit_year_pivot, self.today, of.past, horizon)

    def decimal_style(self, of: TemplateField) -> DecimalStyle:
        """The template's word for the field, else the plan's, else the template's default."""
        return of.decimal_style or self.decimal_styles.get(of.name, self.default_decimal_style)

    def currency(self, of: TemplateField) -> str | None:
        """The template's word for the field, else the plan's."""
        return of.currency or self.currencies.get(of.name)

    def currency_names(self, of: TemplateField) -> frozenset[str]:
        """What amounts of the field may call their currency."""
        currency = self.currency(of)
        return frozenset() if currency is None else spellings_of(currency)

    def region(self, given: str | None) -> str:
        """The region given, else the template's default."""
        return given or self.default_region

    def yes_and_no(self, of: TemplateField) -> tuple[frozenset[str], frozenset[str]]:
        """The words for true and for false of a ``boolean``, as they are compared."""
        if of.true_values or of.false_values:
            return same_words(of.true_values), same_words(of.false_values)
        decided = self.letter_pairs.get(of.name)
        pairs = PLAIN_PAIRS if decided is None else tuple(filter(None, [decided]))
        return TRUE_WORDS | {pair[0] for pair in pairs}, FALSE_WORDS | {pair[1] for pair in pairs}

    def named_null_words(self, of: TemplateField) -> frozenset[str] | None:
        """The texts that the template has for "no value" in a field, cleaned; ``None`` where it says nothing."""
        named = self.null_values if of.null_values is None else of.null_values
        return None if named is None else frozenset(map(cleaned, named))

    def usual_null_words(self, of: TemplateField) -> frozenset[str]:
        """What means "no value" in a field where the template says nothing, cleaned."""
        if of.type in _WITHOUT_NULL_WORDS:
            return frozenset()
        return null_words_beside([*of.options, *of.true_values, *of.false_values])


def reading(template: Template, plan: ParsePlan) -> Reading:
    """What a plan and its template say together."""
    return Reading(
        date_orders=plan.date_orders,
        decimal_styles=plan.decimal_styles,
        short_years=plan.short_years,
        uncounted_days=frozenset(plan.uncounted_days),
        two_digit_year_pivot=template.two_digit_year_pivot,
        today=plan.today,
        empty_zero_dates=template.zero_dates == "empty",
        default_date_order=template.default_date_order,
        default_decimal_style=template.default_decimal_style,
        default_region=template.default_region,
        currencies=plan.currencies,
        mixed_numbers=frozenset(plan.mixed_numbers),
        typed_numbers=plan.typed_numbers,
        letter_pairs=plan.letter_pairs,
        null_values=template.null_values,
        typed_cells=plan.typed_cells,
        date_1904=plan.date_1904,
    )
