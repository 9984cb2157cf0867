"""From planned changes of records to the statements of an ``update`` command.

A change leaves the fields alone that Rowdock's own indexes of the target go by (``libs.storage.target_keys``): where a
statement names one of them, or what it is in, the server makes the keys of every index of the collection anew, before
and after, and compares them. That costs twice as much as the change itself. So of ``_import`` only those members are
set that differ, and never ``created_at``, which stays what it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import bson
from bson.codec_options import CodecOptions

AS_FOUND: Final[CodecOptions[dict[str, Any]]] = CodecOptions(dict, uuid_representation=4)
"""Values of records as they were read are written by these, also those that no import makes."""
ORIGIN: Final = "_import"
_CREATED_AT: Final = "created_at"
MEMBERS_OF_ORIGIN: Final = {
    name: f"{ORIGIN}.{name}" for name in ("run_id", "row", "version", _CREATED_AT, "updated_at", "warnings")
}
"""The paths of what Rowdock notes in ``_import``; who puts something else there has it replaced as a whole."""
_ABSENT: Final = object()


def statement(
    record_id: Any,  # noqa: ANN401
    values: Mapping[str, Any],
    remove: Sequence[str] = (),
    origin: object = None,
) -> bytes:
    """The BSON of the statement that changes one record.

    The record is named by its id alone, because the server then needs no plan to find it. It was found as the tenant's
    in the same transaction, which is not committed where anybody changes it meanwhile.

    Args:
        record_id: of the record.
        values: fields to set.
        remove: fields to take away.
        origin: ``_import`` of the record as it is.

    Raises:
        ValueError: nothing is to be changed; the server would take that for a record without any field.
    """
    if not values and not remove:
        raise ValueError(f"nothing is to be changed of the record {record_id}")
    sets, gone = dict(values), dict.fromkeys(remove, "")
    after: object = sets.get(ORIGIN)
    if isinstance(after, dict) and isinstance(origin, dict):
        was, becomes = cast("dict[str, Any]", origin), cast("dict[str, Any]", after)
        same = was.get(_CREATED_AT, _ABSENT) == becomes.get(_CREATED_AT, _ABSENT)
        if same and MEMBERS_OF_ORIGIN.keys() >= was.keys() and MEMBERS_OF_ORIGIN.keys() >= becomes.keys():
            del sets[ORIGIN]
            for name, value in becomes.items():
                if name != _CREATED_AT:
                    sets[MEMBERS_OF_ORIGIN[name]] = value
            for name in was:
                if name not in becomes:
                    gone[MEMBERS_OF_ORIGIN[name]] = ""
    change: dict[str, Any] = {}
    if sets:
        change["$set"] = sets
    if gone:
        change["$unset"] = gone
    return bson.encode({"q": {"_id": record_id}, "u": change}, codec_options=AS_FOUND)
