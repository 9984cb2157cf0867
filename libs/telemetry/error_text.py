"""What may be written down of an error: never a value out of somebody's file.

Texts of libraries quote what they stumbled over: the key that exists already, the document that was refused, the cell
that is no number. Only errors of Rowdock itself, and those that speak of machines, are quoted.
"""

import traceback
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, cast

from aiokafka.errors import KafkaError
from pymongo.errors import BulkWriteError, ConfigurationError, ConnectionFailure, OperationFailure

from libs.contracts.errors import RowdockError

_QUOTED = (RowdockError, OSError, ConnectionFailure, ConfigurationError, KafkaError)


def error_text(error: BaseException) -> str:
    """One line: the type of ``error`` and, as far as that tells no values, what is wrong or where it was raised."""
    name = type(error).__name__
    if isinstance(error, _QUOTED):
        return f"{name}: {error}"
    if isinstance(error, BulkWriteError):
        details = cast("Mapping[str, Any]", error.details or {})
        codes = {each["code"] for kind in ("writeErrors", "writeConcernErrors") for each in details.get(kind, [])}
        return f"{name}: MongoDB answers {', '.join(map(str, sorted(codes))) or 'nothing more'}"
    if isinstance(error, OperationFailure):
        code_name = (error.details or {}).get("codeName")
        return f"{name}: MongoDB answers {error.code}{f' ({code_name})' if code_name else ''}"
    place = _place(error.__traceback__)
    return f"{name} in {place}" if place else name


def formatted(error: BaseException) -> str:
    """Where ``error`` and those that led to it were raised, frame by frame, each with its ``error_text``."""
    return "\n".join(_chain(error))


def _chain(error: BaseException) -> Iterator[str]:
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None:
        yield from _chain(earlier)
        yield "which led to:"
    yield "".join(traceback.format_tb(error.__traceback__)) + error_text(error)
    if isinstance(error, BaseExceptionGroup):
        for number, each in enumerate(cast("BaseExceptionGroup[BaseException]", error).exceptions, start=1):
            yield f"error {number} of the group:"
            yield from _chain(each)


def _place(trace: TracebackType | None) -> str | None:
    frames = traceback.extract_tb(trace)
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else None
