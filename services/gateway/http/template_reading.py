"""What vocabularies have in common when they read a template: everything that is wrong is named at once.

Pydantic judges the shape of every part, the vocabulary builds what is left into the model, and the judge of the
templates judges what that means.
"""

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from libs.contracts.templates import MAX_FIELDS, Template, TemplateField
from libs.storage.documents import WebhookEndpoint, Wording
from services.gateway.access.principal import Principal
from services.gateway.errors import ConflictError, InvalidTemplateError, Versions, invalid_template, require_version
from services.gateway.http.envelope import ProblemView
from services.gateway.http.field_parts import Placed, put_places
from services.gateway.http.places import Places
from services.gateway.http.request_shape import Json, Problems
from services.gateway.templates.catalog import TemplateCatalog, Written
from services.gateway.templates.judging import ApprovedTemplate, TemplateJudge
from services.gateway.webhooks.endpoints import Linked

MERGES = 5
"""How often changes are merged with a template that somebody else has changed meanwhile."""
OWN_RESOURCE_BYTES = 4
"""Of chance, in the name of a template's own collection."""
MAX_SLUG_CHARS = 40


@dataclass(frozen=True, slots=True)
class TemplateRequest:
    """A template as asked for.

    Attributes:
        version: the one that is to be replaced.
        written: what is remembered of how it was written.
        places: where the parts of the model stand in the request.
    """

    approved: ApprovedTemplate
    version: int | None
    written: Written
    places: Places


@dataclass(frozen=True, slots=True)
class FieldRequest:
    """A field as asked for.

    Attributes:
        location: where it stands in the request.
        name: of the field; made up where the request has none, so that the rest can be judged all the same.
        members: of the model, beside its name, rules and transforms.
        names: what the request calls them.
    """

    location: str
    name: str
    members: Json
    names: Mapping[str, str]
    rules: list[Placed[Any]]
    transforms: list[Placed[Any]]


class TemplateReading:
    """Collects problems; what it builds is only of use where there are none.

    Args:
        judge: judges what the template means.
        location: where it stands in the request.
        names: what the request calls members of the model that it calls otherwise, as for ``Places``.
    """

    def __init__(self, judge: TemplateJudge, location: str, names: Mapping[str, str]) -> None:
        self.judge = judge
        self.location = location
        self.problems = Problems()
        self.places = Places(location, names)
        self.unread: set[str] = set()

    def shape(self, model: type[BaseModel], entry: type[BaseModel], fields: str, given: Json) -> Json:
        """``given`` without what cannot be read.

        Args:
            model: of the template as a whole.
            entry: of one of its fields. They are judged one by one: nothing interrupts pydantic in a single one.
            fields: the member that lists them.
            given: the template.
        """
        entries: object = given.get(fields)
        if not isinstance(entries, list) or len(cast("list[object]", entries)) > MAX_FIELDS:
            return self.problems.shape(model, given, self.location)
        listed = cast("list[object]", entries)
        raw = self.problems.shape(model, given | {fields: listed[:1]}, self.location)
        for number, each in enumerate(listed[1:], start=1):
            place = f"{self.location}.{fields}[{number}]"
            raw.setdefault(fields, []).append(self.problems.entry(entry, each, place))
        return raw

    def field(self, index: int, asked: FieldRequest) -> TemplateField:
        """The field at ``index`` of the model; one without members where it cannot be read."""
        path = f"fields[{index}]"
        self.places.put(path, asked.location)
        for member, written in asked.names.items():
            self.places.put(f"{path}.{member}", f"{asked.location}.{written}")
        put_places(self.places, f"{path}.rules", asked.rules)
        put_places(self.places, f"{path}.transforms", asked.transforms)
        values: Json = {
            **asked.members,
            "rules": tuple(placed.piece for placed in asked.rules),
            "transforms": tuple(placed.piece for placed in asked.transforms),
        }
        try:
            return TemplateField(name=asked.name, **values)
        except ValidationError as error:
            self.problems.refusals(error, values, asked.location, asked.names)
            self.unread.add(path)
            return TemplateField.model_construct(name=asked.name)

    def approved(self, parts: Template, secret: str | None) -> ApprovedTemplate:
        """The template, if nothing is wrong with its shape or its meaning.

        Raises:
            InvalidTemplateError: holds every problem with its place in the request.
        """
        if not self.problems.found:
            try:
                return self.judge.approve(parts, secret)
            except InvalidTemplateError as refusal:
                found = refusal.problems
        else:
            found = self.judge.problems(parts, secret, self.unread)
        for problem in found:
            self.problems.add(self.places.of(problem.location), problem.code, problem.message)
        raise invalid_template(self.problems.in_order(), self.problems.untold)


def own_resource(name: str, kind: str) -> str:
    """The collection of a template that names none, such as ``customer_import_5f0c9a1e``.

    Args:
        name: of the template.
        kind: what it begins with where the name has no letters to begin with.
    """
    slug = re.sub("[^a-z0-9]+", "_", name[:MAX_SLUG_CHARS].lower()).strip("_")
    slug = slug if re.match("[a-z]", slug) else f"{kind}_{slug}".rstrip("_")
    return f"{slug}_{secrets.token_hex(OWN_RESOURCE_BYTES)}"


def remembered_words(wording: Wording | None, version: int) -> Json:
    """What is remembered of how that version of a template was written."""
    return wording.words if wording is not None and wording.version == version else {}


def present_receiver_off(endpoint: WebhookEndpoint | None, owner: str) -> list[ProblemView]:
    """What tells of a receiver that Rowdock has switched off.

    Args:
        endpoint: the receiver.
        owner: what the vocabulary calls a template.
    """
    if endpoint is None or endpoint.disabled_at is None:
        return []
    message = (
        f"nothing is sent to the receiver since {endpoint.disabled_at:%Y-%m-%d %H:%M} UTC: {endpoint.disabled_reason}; "
        f"check its address, then save the {owner} with webhook_enabled: true"
    )
    return [ProblemView(location="body.webhook_url", code="RECEIVER_OFF", message=message)]


async def change_template(
    principal: Principal,
    catalog: TemplateCatalog,
    judge: TemplateJudge,
    template_id: str,
    vocabulary: str,
    read: Callable[[Linked], TemplateRequest],
    wanted: Versions = None,
) -> Linked:
    """Change a part of a template, of the version that it has when it is saved.

    Args:
        principal: who changes it.
        catalog: the templates.
        judge: in whose turns templates are read.
        template_id: of the model.
        vocabulary: in which it is there.
        read: the template with the changes, from what it is now; run in a thread.
        wanted: the versions of it that may be changed.

    Raises:
        GatewayError: the changes cannot be used, or there is no such template.
        ConflictError: ``TEMPLATE_CHANGED``; others were faster each time.
        OutdatedError: it has none of the versions that are wanted.
    """
    merges = 0
    while True:
        current = await catalog.get(principal, template_id, vocabulary)
        if not current.shared:
            require_version(current.document.version, wanted)
        changed = await judge.turns.run(principal, partial(read, current))
        try:
            with changed.places.translating():
                return await catalog.replace(
                    principal,
                    template_id,
                    changed.approved,
                    changed.written,
                    version=current.document.version,
                    wanted=wanted,
                )
        except ConflictError as error:
            merges += 1
            if error.code != "TEMPLATE_CHANGED" or merges == MERGES:
                raise
