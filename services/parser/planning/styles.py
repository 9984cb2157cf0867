"""How the dates, numbers and booleans of each column are written, decided for the whole file.

``03/04/2025`` and ``1.234`` say nothing alone; ``25/04/2025`` and ``1.234,50`` speak for their whole
column. Where a column holds only what can be read both ways, the search asks for more of the file, to
its end if need be; what is still open then is the template's default, and the run says so.

What is looked at is the text that the field's transforms make of a cell.
"""

from datetime import date

import polars as pl
import pyarrow as pa

from libs.batches.columns import cell_column
from libs.contracts.date_formats import holds_two_digit_years, two_digit_years
from libs.contracts.plan import ColumnReading, ParsePlan
from libs.contracts.templates import DecimalStyle, FieldType, Template, TemplateField
from services.parser.planning.boolean_columns import BooleanColumn
from services.parser.planning.date_columns import DateColumn, date_texts, reads_free_dates
from services.parser.planning.number_columns import NumberColumn
from services.parser.planning.serial_columns import SerialColumn
from services.parser.planning.shortened_columns import ShortenedColumn

_NOTHING_TO_SAY = ColumnReading()


class StyleSearch:
    """Looks at a file's first rows, and at more of them while that can decide something.

    Left alone are dates and numbers for which the template decides (``date_format``; ``decimal_style`` and
    ``currency``), the order of dates where it says it, and what is made of several columns.

    Args:
        template: what the file must look like.
        plan: which columns it has.
        today: the day of the plan.
    """

    def __init__(self, template: Template, plan: ParsePlan, today: date) -> None:
        self._template = template
        self._plan = plan
        self._today = today
        typed = plan.typed_numbers
        number_default = DecimalStyle.POINT if typed else template.default_decimal_style
        self._dates: list[DateColumn] = []
        self._serials: list[SerialColumn] = []
        self._numbers: list[NumberColumn] = []
        self._booleans: list[BooleanColumn] = []
        self._texts: list[ShortenedColumn] = []
        for field in template.fields:
            index = plan.mapping.get(field.name)
            if index is None or not field.reads_column:
                continue
            column = cell_column(index)
            if DateColumn.asks(field):
                self._dates.append(DateColumn(field, column, template.default_date_order))
            if reads_free_dates(field) and not plan.typed_cells:
                self._serials.append(SerialColumn(field, column))
            if field.type is FieldType.TEXT and not (plan.typed_cells or typed):
                self._texts.append(ShortenedColumn(field, column))
            if field.type is FieldType.BOOLEAN:
                self._booleans.append(BooleanColumn(field, column))
            if field.type is FieldType.NUMBER and (typed or field.decimal_style is None or field.currency is None):
                self._numbers.append(NumberColumn(field, column, number_default, typed))

    @property
    def _columns(self) -> tuple[DateColumn | SerialColumn | NumberColumn | BooleanColumn, ...]:
        return (*self._dates, *self._serials, *self._numbers, *self._booleans)

    @property
    def needed(self) -> bool:
        """Whether there is anything to find out."""
        return bool(self._columns or self._texts)

    @property
    def open(self) -> bool:
        """Whether more of the file may decide what the rows so far do not."""
        return any(column.open for column in self._columns)

    def look(self, table: pa.Table) -> None:
        """Take the rows of a parsed batch into account."""
        looked_at = (*self._columns, *self._texts)
        frame = pl.DataFrame(table.select(list(dict.fromkeys(column.column for column in looked_at))))
        for column in (*self._numbers, *self._booleans, *self._texts):
            column.look(frame[column.column].drop_nulls())
        dated = (*self._dates, *self._serials)
        fields = {column.of.name: column for column in dated}
        texts = {name: date_texts(each.of, frame[each.column].drop_nulls()) for name, each in fields.items()}
        for column in dated:
            column.look(texts[column.of.name])

    def plan(self) -> ParsePlan:
        """The plan with everything decided."""
        notes = [note for column in (*self._columns, *self._texts) for note in column.notes()]
        dates = {column.of.name: column for column in self._dates}
        booleans = {column.of.name: column for column in self._booleans}
        numbers = {column.of.name: column for column in self._numbers}
        return self._plan.model_copy(
            update={
                "today": self._today,
                "date_orders": {name: column.order for name, column in dates.items()},
                "short_years": {name: column.position for name, column in dates.items() if column.position is not None},
                "uncounted_days": tuple(column.of.name for column in self._serials if column.uncounted),
                "decimal_styles": {
                    name: column.style for name, column in numbers.items() if column.of.decimal_style is None
                },
                "currencies": {
                    name: column.currency for name, column in numbers.items() if column.currency is not None
                },
                "mixed_numbers": tuple(name for name, column in numbers.items() if column.mixed),
                "letter_pairs": {name: column.pair for name, column in booleans.items() if column.pair is not None},
                "columns_read": self._columns_read(),
                "notes": (*self._plan.notes, *notes),
            }
        )

    def _columns_read(self) -> dict[str, ColumnReading]:
        """Where there is anything to say."""
        booleans = {column.of.name: column.reading() for column in self._booleans}
        dates = {column.of.name: column for column in self._dates}
        numbers = {column.of.name: column for column in self._numbers}
        found: dict[str, ColumnReading] = {}
        for field in self._template.fields:
            if self._plan.mapping.get(field.name) is None or not field.reads_column:
                continue
            name = field.name
            read = booleans.get(name) or self._reading(field, dates.get(name), numbers.get(name))
            read = self._with_null_values(field, read)
            if read != _NOTHING_TO_SAY:
                found[name] = read
        return found

    def _with_null_values(self, field: TemplateField, read: ColumnReading) -> ColumnReading:
        named = self._template.null_values if field.null_values is None else field.null_values
        return read if named is None else read.model_copy(update={"null_values": named})

    def _reading(self, field: TemplateField, dates: DateColumn | None, numbers: NumberColumn | None) -> ColumnReading:
        if numbers is not None:
            return numbers.reading()
        if dates is not None:
            return dates.reading(self._template.two_digit_year_pivot, self._today)
        read = ColumnReading(decimal_style=field.decimal_style, currency=field.currency, percent=field.percent)
        if field.date_format is None and field.date_order is None:
            return read.model_copy(update={"decided_by": None if field.decimal_style is None else "template"})
        short = field.date_format is None or holds_two_digit_years(field.date_format)
        years = two_digit_years(
            self._template.two_digit_year_pivot, self._today, past=field.past, any_century=field.date_format is not None
        )
        return ColumnReading(
            date_format=field.date_format,
            date_order=field.date_order,
            two_digit_years=years if short else None,
            decided_by="template",
        )
