"""Templates as they are named on the command line: by id or by name."""

import re

from rowdock_client.client import Rowdock
from rowdock_client.errors import NotFoundError, RowdockError
from rowdock_client.models import EngineTemplateView

ID = re.compile(r"[0-9a-f]{24}")


class AmbiguousTemplateError(RowdockError):
    """Several templates have the name."""

    def __init__(self, name: str, found: list[EngineTemplateView]) -> None:
        ids = ", ".join(each.id for each in found[:10])
        super().__init__("AMBIGUOUS", f"{len(found)} templates have the name {name!r}", f"name one by its id: {ids}")


def templates_named(client: Rowdock, name: str) -> list[EngineTemplateView]:
    """All templates with a name."""
    return [each for each in client.templates() if each.name == name]


def template_named(client: Rowdock, wanted: str) -> EngineTemplateView:
    """The template with this id, else the one with this name.

    Raises:
        AmbiguousTemplateError: several have it.
        UnknownTemplateError: none has.
    """
    if ID.fullmatch(wanted):
        try:
            return client.get_template(wanted)
        except NotFoundError:
            pass
    found = templates_named(client, wanted)
    if not found:
        raise UnknownTemplateError(wanted)
    if len(found) > 1:
        raise AmbiguousTemplateError(wanted, found)
    return found[0]


class UnknownTemplateError(RowdockError):
    """There is no such template."""

    def __init__(self, wanted: str) -> None:
        super().__init__(
            "NO_SUCH_TEMPLATE",
            f"there is no template with the id or name {wanted!r}",
            "`rowdock templates list` shows what there is; `rowdock templates apply FILE` makes one",
        )
