"""How the texts of one file are to be understood, beyond what the template says about each field."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from libs.contracts.date_formats import YEARS_AHEAD
from libs.contracts.plan import ParsePlan
from libs.contracts.templates import DateOrder, DecimalStyle, Template, TemplateField
from libs.values.currencies import spellings_of
from services.validator.domain.date_parts import TwoDigitYears


@dataclass(frozen=True, slots=True)
class Reading:
    """Decided once per file and column, never per row.

    Attributes:
        date_orders: order of day, month and year by field, as the parse plan froze it.
        decimal_styles: style of the numbers by field, as the parse plan froze it.
        default_date_order: for fields that the plan says nothing about.
        default_decimal_style: likewise.
        short_years: where two-digit years stand in dates of three numbers by field, as the parse plan froze it.
        two_digit_year_pivot: the first two-digit year of the 20th century; ``None`` where the template does not say.
        today: the day of the parse plan.
        empty_zero_dates: a date of zeros is an empty value.
        default_region: ISO 3166 code for phone numbers without a country code.
        currencies: what the amounts of a field are in, as the parse plan froze it.
        typed_numbers: the format writes its numbers with a decimal point whatever the style of the column is.
        typed_cells: the format itself knows dates and numbers (Excel): its dates arrive as ISO 8601 text
            whatever ``date_format`` says, its numbers with a decimal point whatever the style is.
        date_1904: serial numbers of dates count from 1904 instead of 1900.
    """

    date_orders: Mapping[str, DateOrder] = field(default_factory=dict[str, DateOrder])
    decimal_styles: Mapping[str, DecimalStyle] = field(default_factory=dict[str, DecimalStyle])
    currencies: Mapping[str, str] = field(default_factory=dict[str, str])
    short_years: Mapping[str, Literal["first", "last"]] = field(default_factory=dict[str, Literal["first", "last"]])
    two_digit_year_pivot: int | None = None
    today: date | None = None
    empty_zero_dates: bool = False
    default_date_order: DateOrder = DateOrder.DMY
    default_decimal_style: DecimalStyle = DecimalStyle.POINT
    default_region: str = "US"
    typed_numbers: bool = False
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


def reading(template: Template, plan: ParsePlan) -> Reading:
    """What a plan and its template say together."""
    return Reading(
        date_orders=plan.date_orders,
        decimal_styles=plan.decimal_styles,
        short_years=plan.short_years,
        two_digit_year_pivot=template.two_digit_year_pivot,
        today=plan.today,
        empty_zero_dates=template.zero_dates == "empty",
        default_date_order=template.default_date_order,
        default_decimal_style=template.default_decimal_style,
        default_region=template.default_region,
        currencies=plan.currencies,
        typed_numbers=plan.typed_numbers,
        typed_cells=plan.typed_cells,
        date_1904=plan.date_1904,
    )
