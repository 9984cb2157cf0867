"""What a record carries for the keys of its tenant: ``_keys: [{s: <id of the key>, a: <value>, b: …}, …]``.

The values stand beside each other, in the order of the key's fields, because the index is over them one by one. As one
document in the index they would be compared as right, but MongoDB's check for uniqueness then passes over all that
transactions beside it have inserted, for each record anew.

A text stands there as it is compared (``spelling``), however the record spells it: a record with ``SKU123`` and a blank
behind is found by ``SKU123``, and no second one can have it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from libs.contracts.spelling import compared

KEYS: Final = "_keys"
"""The field of a record that holds its entries."""
SCOPE: Final = "s"
SCOPE_PATH: Final = f"{KEYS}.{SCOPE}"
PLACES: Final = "abcdefghijk"
"""Names of the values; as many as a combination can have fields, see ``Unique.fields``."""


SPELLED: Final = r"[^\x00-\x7f]|^[\x09-\x0d ]|[\x09-\x0d ]$|@.*[A-Z]"
"""What every text has that ``key_value`` changes, and many that it leaves; a pattern of the server and of Arrow, which
do not agree about ``\\s``."""


def key_value(value: Any) -> Any:  # noqa: ANN401
    """A value of a field as the record's entries hold it."""
    return compared(value) if isinstance(value, str) else value


def key_entry(scope: object, values: Sequence[object]) -> dict[str, Any]:
    """The entry of a key with these values, in the order of its fields; also of what the server computes them from."""
    return {SCOPE: scope, **dict(zip(PLACES, values, strict=False))}


def entry_values(entry: Mapping[str, Any]) -> list[Any]:
    """The values of an entry."""
    return [entry[place] for place in PLACES if place in entry]
