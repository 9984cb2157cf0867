"""Date fields, and the instants that their texts stand for."""

from datetime import UTC, datetime

import polars as pl

from libs.contracts.templates import DateOrder, TemplateField
from services.validator.domain.dates import formatted, instant
from services.validator.domain.steps import Steps, evaluate


def date(**more: object) -> TemplateField:
    return TemplateField.model_validate({"name": "f", "type": "date", **more})


DATE, MDY, YMD = date(), date(date_order="mdy"), date(date_order="ymd")
BAD = ["INVALID_DATE"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, microsecond: int = 0
) -> datetime:
    return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC)


def instants(texts: list[str | None], date_format: str | None, order: DateOrder = DateOrder.DMY) -> list[int | None]:
    steps = Steps()
    found = instant(pl.col("text"), date_format, order, steps.let)
    frame = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)})
    return evaluate(frame, steps.stages, [found.alias("instant")])["instant"].to_list()


def written(moments: list[int], date_format: str) -> list[str | None]:
    frame = pl.DataFrame({"instant": pl.Series(moments, dtype=pl.Int64)})
    return frame.select(formatted(pl.col("instant"), date_format))["instant"].to_list()
