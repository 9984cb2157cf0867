"""Rows that the parser could not read, as rejected rows."""

from collections.abc import Iterable, Sequence

from libs.contracts.plan import RowIssue
from libs.contracts.rejections import RejectedRow, RowError, shown


def issue_rejections(issues: Iterable[RowIssue], columns: Sequence[str]) -> list[RejectedRow]:
    """Issues of a parsed batch in the form of all rejected rows.

    Args:
        issues: what the parser found.
        columns: headers of the file, in its order (``ParsePlan.columns``).
    """
    return [_issue_rejection(issue, columns) for issue in issues]


def _issue_rejection(issue: RowIssue, columns: Sequence[str]) -> RejectedRow:
    at = issue.column
    column = columns[at] if at is not None and at < len(columns) else None
    value = issue.cells[at] if at is not None and at < len(issue.cells) else ""
    error = RowError(None, column, issue.code, issue.message, shown(value))
    return RejectedRow(issue.row, list(issue.cells), (error,), unread=True)
