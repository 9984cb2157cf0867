"""JSON as clients send it: strict, without ``NaN``, and an error of one kind whatever is wrong."""

import json
from typing import Any, NoReturn


class InvalidJsonError(ValueError):
    """Text that is not JSON; its message says why and where."""


class JsonObject(tuple[tuple[str, Any], ...]):
    """The members of an object in their order, names that repeat included."""

    __slots__ = ()


def decode_json(content: str | bytes) -> object:
    """The value of ``content``.

    Raises:
        InvalidJsonError: it has none.
    """
    return _decode(content, dict)


def decode_json_pairs(content: str | bytes) -> object:
    """As ``decode_json``, with ``JsonObject`` for every object."""
    return _decode(content, JsonObject)


def _decode(content: str | bytes, hook: Any) -> object:  # noqa: ANN401 - a class that takes pairs
    try:
        return json.loads(content, parse_constant=_refuse_constant, object_pairs_hook=hook)
    except RecursionError:
        raise InvalidJsonError("it is nested too deeply") from None
    except ValueError as error:
        raise InvalidJsonError(str(error)) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
