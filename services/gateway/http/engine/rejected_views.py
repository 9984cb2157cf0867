"""Rejected rows as clients see them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final, cast

from pydantic import BaseModel

from libs.contracts.rejections import RejectedState
from libs.storage.documents import RejectedRecord
from services.gateway.errors import Problem, invalid_input
from services.gateway.http.answers import encoded
from services.gateway.http.places import path_text
from services.gateway.http.request_shape import Json, Part
from services.gateway.records.corrected_cells import shown_cells
from services.gateway.records.rejected import RejectedOfRun, RejectedRow

MAX_PAGE_BYTES: Final = 8 * 1024 * 1024
"""Of a page of rejected rows; it has one row at least."""
MAX_CORRECTED: Final = 16_384
"""Columns that one request corrects: no file has more."""


class Correction(Part):
    """Corrections of a rejected row, in the place of all earlier ones; without any it is as in the file again.

    ``corrected_data``: headers of the file or names of fields, and what is in that cell: a text, a number, true, false,
    or null where it is empty.
    """

    corrected_data: dict[str, str | int | float | bool | None]


class RejectedView(BaseModel):
    """A rejected row: ``data`` by header; ``cells`` as read, perhaps more or fewer than ``columns``.

    ``state`` is ``open``, ``corrected``, ``retrying``, ``written``, ``skipped`` (by a retry, for ``skip_reason``),
    ``discarded``, or of a retry ``returned``: the row is told by its parent. ``corrected_data`` are the corrections, by
    header, and ``errors`` what remains wrong with them; they are ``checked`` unless that took too long or they were
    made for many rows at once. ``retry_run_id`` is the run that retried the row last.
    """

    id: str
    run_id: str
    row: int
    state: RejectedState
    data: dict[str, str | None]
    columns: list[str]
    cells: list[str | None]
    errors: list[dict[str, Any]]
    corrected_data: dict[str, str | None] | None
    checked: bool
    retry_run_id: str | None
    skip_reason: str | None
    created_at: datetime


class RejectedPage(BaseModel):
    """In the order of the file; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[RejectedView]
    next_after: int | None


def read_correction(body: object) -> Mapping[str, object]:
    """The corrections of a request, whose values are judged by whoever knows the columns.

    Raises:
        InvalidInputError: it has another shape.
    """
    example = '{"corrected_data": {"Price": "199.00"}}'
    if not isinstance(body, dict):
        raise invalid_input(Problem("body", "INVALID", f"must be a JSON object such as {example}"))
    members = cast("Json", body)
    data = members.get("corrected_data")
    problems = [
        Problem(f"body{path_text((name,))}", "UNKNOWN", "there is no such member; remove it")
        for name in members
        if name != "corrected_data"
    ]
    if not isinstance(data, dict):
        message = f"must be an object of columns and values, such as {example}"
        problems.append(Problem("body.corrected_data", "MISSING" if data is None else "INVALID", message))
    elif len(cast("Json", data)) > MAX_CORRECTED:
        problems.append(Problem("body.corrected_data", "INVALID", f"has at most {MAX_CORRECTED:,} members"))
    if problems:
        raise invalid_input(*problems)
    return cast("Json", data)


def encode_row(row: RejectedRow) -> bytes:
    """A ``RejectedView`` as JSON."""
    return encoded(_present_rejected(row.record, row.columns))


def encode_rejected(found: RejectedOfRun) -> bytes:
    """A ``RejectedPage`` as JSON. It ends early where it would be larger than ``MAX_PAGE_BYTES``: a row says its
    headers each time, so a few bytes in the database may be megabytes here."""
    rows: list[bytes] = []
    size, last, more = 0, 0, found.rows.more
    for record in found.rows.items:
        row = encoded(_present_rejected(record, found.columns))
        size += len(row)
        if rows and size > MAX_PAGE_BYTES:
            more = True
            break
        rows.append(row)
        last = record.row
    return b'{"data":[%s],"next_after":%s}' % (b",".join(rows), str(last).encode() if more else b"null")


def _present_rejected(record: RejectedRecord, columns: Sequence[str]) -> RejectedView:
    """A rejected row; cells beyond the last column are in ``cells`` only."""
    padded = [*record.cells, *[None] * (len(columns) - len(record.cells))]
    return RejectedView.model_construct(
        id=record.id,
        run_id=record.run_id,
        row=record.row,
        state=record.state,
        data=dict(zip(columns, padded, strict=False)),
        columns=list(columns),
        cells=record.cells,
        errors=[asdict(error) for error in record.current_errors],
        corrected_data=None if record.corrected is None else shown_cells(record.corrected, columns),
        checked=record.checked,
        retry_run_id=record.retry_run_id,
        skip_reason=record.skip_reason,
        created_at=record.created_at,
    )
