"""Types of BSON elements (https://bsonspec.org/spec.html), and elements as bytes."""

from typing import Any, Final

import bson

DOUBLE: Final = 1
STRING: Final = 2
DOCUMENT: Final = 3
ARRAY: Final = 4
OBJECT_ID: Final = 7
BOOLEAN: Final = 8
DATE: Final = 9
NULL: Final = 10
INT32: Final = 16
INT64: Final = 18
DECIMAL128: Final = 19


def elements(document: dict[str, Any]) -> bytes:
    """The elements of a document without its length and its end."""
    return bson.encode(document)[4:-1]
