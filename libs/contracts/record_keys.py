"""What a record carries for the keys of its tenant: ``_keys: [{s: <id of the key>, a: <value>, b: …}, …]``.

The values stand beside each other, in the order of the key's fields, because the index is over them one by one. As one
document in the index they would be compared as right, but MongoDB's check for uniqueness then passes over all that
transactions beside it have inserted, for each record anew.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

KEYS: Final = "_keys"
"""The field of a record that holds its entries."""
SCOPE: Final = "s"
SCOPE_PATH: Final = f"{KEYS}.{SCOPE}"
PLACES: Final = "abcdefghijk"
"""Names of the values; as many as a combination can have fields, see ``Unique.fields``."""


def key_entry(scope: object, values: Sequence[object]) -> dict[str, Any]:
    """The entry of a key with these values, in the order of its fields; also of what the server computes them from."""
    return {SCOPE: scope, **dict(zip(PLACES, values, strict=False))}


def entry_values(entry: Mapping[str, Any]) -> list[Any]:
    """The values of an entry."""
    return [entry[place] for place in PLACES if place in entry]
