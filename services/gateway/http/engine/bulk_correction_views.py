"""Bulk corrections of rejected rows as clients see them."""

from datetime import UTC, datetime
from typing import Annotated, Literal, cast

from pydantic import BaseModel, Field

from libs.contracts.ids import rejected_id
from libs.storage.documents import BulkCorrectionDocument, CellChange, CellChangeType, RequestState
from libs.storage.stored_times import as_stored
from services.gateway.errors import Problem, invalid_input
from services.gateway.http.request_shape import Json, Part, Problems
from services.gateway.records.bulk_corrections import BulkCorrection, WantedChange

CellValue = str | int | float | bool | None


class Replacement(Part):
    """Where the cell is ``old``, it is ``new`` then; with ``match`` ``part``, every place in it that is ``old`` is.

    Texts are compared as they are, with capital and small letters; an empty ``old`` means an empty cell.
    """

    type: Literal["replace"]
    old: str | None
    new: CellValue
    match: Literal["cell", "part"] = "cell"


class Setting(Part):
    """The cell is ``new`` then, whatever it was."""

    type: Literal["set"]
    new: CellValue


class Clearing(Part):
    """The cell is empty then."""

    type: Literal["clear"]


class BulkCorrectionRequest(Part):
    """The same change of one cell in all open and corrected rows with one error, on top of earlier corrections.

    ``code`` and ``field`` are those of the error; ``column`` names the column whose cells are changed, by its header or
    its field, where that is not the one of ``field``. Rows that are corrected after ``as_of`` are left alone: with the
    ``as_of`` of a dry run no row is changed that it did not show so, and a request that is repeated changes nothing
    twice.
    """

    code: Annotated[str, Field(min_length=1, max_length=100)]
    field: Annotated[str, Field(min_length=1, max_length=100)]
    column: Annotated[str, Field(min_length=1, max_length=1_000)] | None = None
    change: Annotated[Replacement | Setting | Clearing, Field(discriminator="type")]
    as_of: Annotated[str, Field(max_length=40)] | None = None


class ExampleOfChange(BaseModel):
    """The cell of a row, before and after; long texts are cut."""

    id: str
    row: int
    before: str | None
    after: str | None


class LeftRows(BaseModel):
    """Rows that were left alone: corrected after ``as_of``; corrected and ``not_checked``, so that nobody knows whether
    they still have the error (a retry checks them); or their cell would be ``too_long``."""

    corrected_since: int = 0
    not_checked: int = 0
    too_long: int = 0


class BulkCorrectionView(BaseModel):
    """How far a bulk correction is; with ``dry_run`` nothing is changed, and ``changed_count`` rows would be.

    ``matching_count = changed_count + unchanged_count + left``: rows with the error; those whose cell is so already are
    unchanged. ``status`` is ``waiting`` while it is under way, with the counts so far. Once changed rows are
    ``checked``, ``remaining_count`` of them still have errors; null before. ``examples`` are the first three changes.
    """

    run_id: str
    status: Literal["waiting", "done"]
    dry_run: bool
    code: str
    field: str
    column: str
    change: Annotated[Replacement | Setting | Clearing, Field(discriminator="type")]
    as_of: datetime
    matching_count: int
    changed_count: int
    unchanged_count: int
    left: LeftRows
    checked: bool
    remaining_count: int | None
    examples: list[ExampleOfChange]
    requested_at: datetime
    finished_at: datetime | None


def read_bulk_correction(body: object) -> WantedChange:
    """The change of a request.

    Raises:
        InvalidInputError: it has another shape.
    """
    if not isinstance(body, dict):
        raise invalid_input(Problem("body", "INVALID", "must be a JSON object"))
    problems = Problems()
    problems.shape(BulkCorrectionRequest, cast("Json", body), "body")
    if problems.found:
        raise invalid_input(*problems.in_order())
    request = BulkCorrectionRequest.model_validate(body)
    change = request.change
    return WantedChange(
        code=request.code,
        field=request.field,
        column=request.column,
        type=CellChangeType(change.type),
        old=change.old if isinstance(change, Replacement) else None,
        new=None if isinstance(change, Clearing) else change.new,
        part=isinstance(change, Replacement) and change.match == "part",
        as_of=None if request.as_of is None else _moment(request.as_of),
    )


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        message = "must be a time with its offset, as it was answered, such as '2026-03-01T12:00:00.000Z'"
        raise invalid_input(Problem("body.as_of", "INVALID", message))
    return as_stored(moment.astimezone(UTC))


def present_bulk_correction(found: BulkCorrection) -> BulkCorrectionView:
    """A bulk correction that was not refused."""
    correction = found.correction
    return BulkCorrectionView(
        run_id=found.run.id,
        status="done" if correction.state is RequestState.DONE else "waiting",
        dry_run=correction.dry_run,
        code=correction.code,
        field=correction.field,
        column="" if found.run.plan is None else found.run.plan.columns[correction.at],
        change=_present_change(correction.change),
        as_of=correction.as_of,
        matching_count=correction.changed + correction.unchanged + sum(correction.left.values()),
        changed_count=correction.changed,
        unchanged_count=correction.unchanged,
        left=LeftRows.model_validate(correction.left),
        checked=correction.checked,
        remaining_count=correction.remaining if correction.checked else None,
        examples=_examples(found.run.id, correction),
        requested_at=correction.requested_at,
        finished_at=correction.finished_at,
    )


def _present_change(change: CellChange) -> Replacement | Setting | Clearing:
    match change.type:
        case CellChangeType.REPLACE:
            return Replacement(type="replace", old=change.old, new=change.new, match="part" if change.part else "cell")
        case CellChangeType.SET:
            return Setting(type="set", new=change.new)
        case CellChangeType.CLEAR:
            return Clearing(type="clear")


def _examples(run_id: str, correction: BulkCorrectionDocument) -> list[ExampleOfChange]:
    return [ExampleOfChange(id=rejected_id(run_id, each["row"]), **each) for each in correction.examples]
