"""What a template asks of the records of its target: values, or combinations of them, that no two of them share.

The database guarantees it by a unique index: without one, two runs side by side would write the same key twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pymongo.errors import DuplicateKeyError, OperationFailure

from libs.contracts.templates import Template, Unique
from services.gateway.errors import ConflictError, Problem
from services.gateway.stores.target import TargetIndexes

CANNOT_CREATE_INDEX = 67
INDEX_CONFLICTS = frozenset({85, 86})
"""MongoDB's IndexOptionsConflict and IndexKeySpecsConflict: another index stands in the place of the new one."""


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """Fields that no two live records may share, and what asks for it.

    Attributes:
        names: the fields.
        location: in the model: the upsert key, or a rule of a field.
        is_upsert_key: which of the two it is.
    """

    names: tuple[str, ...]
    location: str
    is_upsert_key: bool

    def not_unique(self, resource: str) -> ConflictError:
        """The refusal of a key that the records break already."""
        same = " and ".join(repr(name) for name in self.names)
        if self.is_upsert_key:
            code, remedy = "UPSERT_KEY_NOT_UNIQUE", "so it cannot identify one; choose another upsert_key"
        else:
            code, remedy = "VALUES_NOT_UNIQUE", "which the rule 'unique' forbids; leave out its against_target"
        return self._refused(code, f"records in {resource!r} have the same {same}, {remedy}, or remove the duplicates")

    def too_many(self, resource: str) -> ConflictError:
        """The refusal of one index more than a collection can have."""
        code = "TOO_MANY_UPSERT_KEYS" if self.is_upsert_key else "TOO_MANY_UNIQUE_RULES"
        return self._refused(
            code, f"{resource!r} has as many indexes as it can have; use keys that are unique there already"
        )

    def other_index(self, resource: str) -> ConflictError:
        """The refusal of an index in whose place stands one that somebody else made otherwise."""
        same = " and ".join(repr(name) for name in self.names)
        return self._refused(
            "INDEX_CONFLICT",
            f"{resource!r} has an index on {same} that does not guarantee what the template asks for; have an "
            "administrator of the database remove it",
        )

    def _refused(self, code: str, detail: str) -> ConflictError:
        return ConflictError(code, detail, [Problem(self.location, code, detail)])


def unique_keys(template: Template) -> Sequence[UniqueKey]:
    """What a template asks for, each combination of fields once.

    An upsert key and a ``unique`` rule about one field share their index: MongoDB refuses the same one twice.
    """
    keys: dict[tuple[str, ...], UniqueKey] = {}
    if template.matches_by_key and template.upsert_key is not None:
        names = (template.upsert_key,)
        keys[names] = UniqueKey(names, "upsert_key", is_upsert_key=True)
    for number, field in enumerate(template.fields):
        for index, rule in enumerate(field.rules):
            if isinstance(rule, Unique) and rule.against_target:
                names = tuple(dict.fromkeys((field.name, *rule.fields)))
                keys.setdefault(names, UniqueKey(names, f"fields[{number}].rules[{index}]", is_upsert_key=False))
    return list(keys.values())


async def guarantee_unique_keys(indexes: TargetIndexes, template: Template) -> None:
    """Create the unique indexes of a template.

    Raises:
        ConflictError: the records break a key already, or the collection can have no such index.
    """
    for key in unique_keys(template):
        try:
            await indexes.make_unique(template.target_resource, key.names)
        except DuplicateKeyError as error:
            raise key.not_unique(template.target_resource) from error
        except OperationFailure as error:
            if error.code in INDEX_CONFLICTS:
                raise key.other_index(template.target_resource) from error
            if error.code == CANNOT_CREATE_INDEX:
                raise key.too_many(template.target_resource) from error
            raise
