"""What a template asks of the records of its target: values, or combinations of them, that no two of them share."""

from collections.abc import Iterator
from dataclasses import dataclass

from libs.contracts.templates.rules import Unique
from libs.contracts.templates.template import Template


@dataclass(frozen=True, slots=True)
class AskedKey:
    """Fields whose values together are a record's own, and what asks for it.

    Attributes:
        names: the fields, each once, sorted: the order in which a rule names them makes no other key.
        location: in the model: ``upsert_key``, or a rule of a field.
    """

    names: tuple[str, ...]
    location: str

    @property
    def is_upsert_key(self) -> bool:
        """Whether it identifies the record that a row is about; else a rule forbids to repeat it."""
        return self.location == "upsert_key"


def combination(*names: str) -> tuple[str, ...]:
    """The fields of a key in the one order that keys have them in."""
    return tuple(sorted(set(names)))


def asked_keys(template: Template) -> tuple[AskedKey, ...]:
    """What a template asks for, each combination of fields once, the upsert key first."""
    keys: dict[tuple[str, ...], AskedKey] = {}
    for key in _asked(template):
        keys.setdefault(key.names, key)
    return tuple(keys.values())


def _asked(template: Template) -> Iterator[AskedKey]:
    if template.matches_by_key and template.upsert_key is not None:
        yield AskedKey((template.upsert_key,), "upsert_key")
    for number, field in enumerate(template.fields):
        for index, rule in enumerate(field.rules):
            if isinstance(rule, Unique) and rule.against_target:
                yield AskedKey(combination(field.name, *rule.fields), f"fields[{number}].rules[{index}]")
