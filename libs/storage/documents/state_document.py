"""What all of Rowdock's own documents have in common."""

from collections.abc import Mapping
from typing import Any, Final, Self, TypeVar

from beanie import Document
from pydantic import BaseModel, Field, ValidationError

from libs.contracts.errors import UnreadableDocumentError

SHOWN_ERRORS = 3
NEXT_VERSION: Final[Mapping[str, Any]] = {"version": {"$add": [{"$ifNull": ["$version", 1]}, 1]}}
"""For ``$set`` in an update that is a pipeline: the version after the present one. Release 0.1 stored none, which is
the first."""
ModelT = TypeVar("ModelT", bound=BaseModel)


class StateDocument(Document):
    """A document whose ``_id`` is text."""

    id: str = Field(default=..., alias="_id")  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues]

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """The document as it is stored; fields that a newer release has added are ignored.

        Raises:
            UnreadableDocumentError: a field holds what this release does not know, such as a rule of another kind.
        """
        return read_stored(cls, stored, cls.get_collection_name())


def of_version(version: int) -> dict[str, Any]:
    """The filter of a document that nobody has changed since it had this version; see ``NEXT_VERSION``."""
    return {"version": {"$in": [1, None]} if version == 1 else version}


def read_stored(model: type[ModelT], stored: Mapping[str, Any], collection: str) -> ModelT:
    """A stored document, or a part of it, as ``model``; see ``StateDocument.read``."""
    try:
        return model.model_validate(stored)
    except ValidationError as error:
        raise unreadable(f"{stored.get('_id')!r} in {collection!r}", error) from error


def unreadable(what: str, error: ValidationError) -> UnreadableDocumentError:
    """The error about ``what`` was stored, with the places that are not understood and none of their values."""
    return UnreadableDocumentError(
        f"{what} cannot be read by this release of Rowdock: "
        f"{_places(error)}. A newer release wrote it; let all services run that release"
    )


def _places(error: ValidationError) -> str:
    errors = error.errors(include_url=False, include_input=False)
    told = [f"{_path(each['loc'])}: {each['msg']}" for each in errors[:SHOWN_ERRORS]]
    more = len(errors) - len(told)
    return "; ".join([*told, f"{more} more"] if more else told)


def _path(location: tuple[int | str, ...]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return "".join(steps).removeprefix(".")
