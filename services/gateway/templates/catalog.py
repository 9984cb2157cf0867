"""Templates of an organization: saved in versions, with the keys and the receiver that they need.

The keys come first, so that no template is without them; what a crash leaves between is released by retention.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from libs.contracts.templates import Template, asked_keys
from libs.storage.client import Mongo, Session
from libs.storage.documents import CopiedFrom, TemplateDocument, Wording
from libs.storage.stored_times import now_as_stored
from libs.storage.target_keys import TargetKey
from libs.telemetry.failpoints import failpoint
from services.gateway.access.principal import Principal
from services.gateway.access.reach import Reach
from services.gateway.errors import (
    BusyError,
    ConflictError,
    GatewayError,
    NotAllowedError,
    Problem,
    Versions,
    invalid_input,
    not_found,
    outdated,
    require_version,
)
from services.gateway.stores.paging import Page
from services.gateway.stores.target import OrganizationTarget
from services.gateway.stores.templates import TemplateStore, UsableTemplates
from services.gateway.templates.judging import ApprovedTemplate
from services.gateway.templates.unique_keys import KeyRegistrar
from services.gateway.webhooks.endpoints import Linked, Webhooks, without_receiver


@dataclass(frozen=True, slots=True)
class Written:
    """How a template was written.

    Attributes:
        vocabulary: the one that it was written in.
        words: what that vocabulary remembers beyond the model; empty where there is nothing.
    """

    vocabulary: str
    words: dict[str, Any]

    def wording(self, version: int) -> Wording | None:
        """What is stored of it beside that version of the template."""
        return Wording(version=version, words=self.words) if self.words else None


@dataclass(frozen=True, slots=True)
class Quotas:
    """What an organization may have.

    Attributes:
        templates: that are not deleted.
        resources: that its templates name or hold records of it.
    """

    templates: int
    resources: int


class TemplateCatalog:
    """Creates, changes and shows templates, each in the vocabulary that it is written in: in others it is not there.

    Args:
        mongo: the databases.
        reach: knows from whom an organization gets shared templates.
        webhooks: makes and changes their receivers.
        keys: registers the keys that they ask for.
        quotas: of each organization.
    """

    def __init__(self, mongo: Mongo, reach: Reach, webhooks: Webhooks, keys: KeyRegistrar, quotas: Quotas) -> None:
        self._mongo = mongo
        self._reach = reach
        self._webhooks = webhooks
        self._keys = keys
        self._quotas = quotas

    async def create(
        self,
        principal: Principal,
        approved: ApprovedTemplate,
        written: Written,
        *,
        key: str | None = None,
        copied_from: CopiedFrom | None = None,
        identifier: str | None = None,
    ) -> Linked:
        """Save a new template.

        Args:
            identifier: its id; where there is such a template already, it is that.
            key: by which programs name it that are not to know its id.
            copied_from: what it is a copy of.

        Raises:
            ConflictError: records in the target have the same upsert key, or values that are to be unique; or the
                organization has as many templates, resources or keys as it may have. Nothing is left of it.
            BusyError: ``KEYS_BEING_BUILT``, see ``KeyRegistrar``.
        """
        store = TemplateStore(principal, written.vocabulary)
        if identifier is not None and (made := await store.get(identifier)) is not None:
            return await self._webhooks.made(principal, made)
        now = now_as_stored()
        document = TemplateDocument(
            _id=identifier or str(ObjectId()),
            tenant_id=principal.tenant_id,
            template=approved.template,
            vocabulary=written.vocabulary,
            wording=written.wording(1),
            key=key,
            copied_from=copied_from,
            created_at=now,
            updated_at=now,
        )

        async def save(session: Session) -> Linked:
            if await OrganizationTarget(self._mongo, principal.tenant_id).templates(session) >= self._quotas.templates:
                raise _too_many_templates(self._quotas.templates)
            linked = await self._webhooks.link(principal, document, approved.webhook_secret, session)
            await store.insert(linked.document, session)
            return linked

        try:
            return await self._with_keys(principal, approved.template, save)
        except DuplicateKeyError:  # an earlier attempt was only believed to be dead
            return await self._webhooks.made(principal, await self._own(principal, document.id, written.vocabulary))

    async def replace(
        self,
        principal: Principal,
        template_id: str,
        approved: ApprovedTemplate,
        written: Written,
        *,
        version: int | None = None,
        wanted: Versions = None,
    ) -> Linked:
        """Save the next version of a template.

        Args:
            version: the one that is to be replaced; ``None`` for whichever is current.
            wanted: the versions that may be replaced.

        Raises:
            NotFoundError: there is none.
            NotAllowedError: ``READ_ONLY_SHARED_TEMPLATE``.
            ConflictError: ``TEMPLATE_CHANGED``, it has another version by now; or as ``create``.
            OutdatedError: it has none of the versions that are wanted.
        """
        store = TemplateStore(principal, written.vocabulary)
        current = await self._own(principal, template_id, written.vocabulary)
        require_version(current.version, wanted)
        if version is not None and version != current.version:
            raise _changed_meanwhile(f"version {current.version}")
        successor = current.model_copy(
            update={
                "template": approved.template,
                "version": current.version + 1,
                "vocabulary": written.vocabulary,
                "wording": written.wording(current.version + 1),
                "updated_at": now_as_stored(),
            }
        )

        async def save(session: Session) -> Linked:
            linked = await self._webhooks.link(principal, successor, approved.webhook_secret, session)
            if not await store.replace_version(linked.document, session):
                raise _changed_meanwhile("another version") if wanted is None else outdated()
            return linked

        linked = await self._with_keys(principal, approved.template, save)
        await self._leave(principal, current.template)
        return linked

    async def copy(
        self,
        principal: Principal,
        template_id: str,
        vocabulary: str,
        renewed: Callable[[TemplateDocument], Mapping[str, object]] = lambda _: {},
        *,
        identifier: str | None = None,
    ) -> Linked:
        """Save a copy of a template, of the organization's own or shared with it, as its own. It is shared with nobody
        and has no receiver.

        Args:
            principal: who asks.
            template_id: of the template.
            vocabulary: the one that it is written in.
            renewed: the members of the template that are others in a copy.
            identifier: as ``create``.

        Raises:
            NotFoundError: there is none.
            ConflictError, BusyError: as ``create``.
        """
        source = await self._usable(principal, template_id, vocabulary)
        words = source.wording.words if source.wording is not None and source.wording.version == source.version else {}
        template = without_receiver(source).template.model_copy(
            update={"shared_with_children": False, **renewed(source)}
        )
        origin = CopiedFrom(tenant_id=source.tenant_id, template_id=source.id, version=source.version)
        written = Written(source.vocabulary, words)
        return await self.create(
            principal, ApprovedTemplate(template, None), written, copied_from=origin, identifier=identifier
        )

    async def get(self, principal: Principal, template_id: str, vocabulary: str) -> Linked:
        """A template with its receiver; without it one that is shared with the organization.

        Raises:
            NotFoundError: there is none.
        """
        document = await self._usable(principal, template_id, vocabulary)
        [linked] = await self._webhooks.of(principal, [document])
        return linked

    async def page(self, principal: Principal, limit: int, after: str | None, vocabulary: str) -> Page[Linked]:
        """Templates as ``get`` shows them, newest first, from behind the id ``after``."""
        found = await (await self._all_usable(principal, vocabulary)).page(limit, after)
        return Page(await self._webhooks.of(principal, found.items), found.more)

    async def window(self, principal: Principal, skip: int, limit: int, vocabulary: str) -> list[Linked]:
        """The organization's own templates behind the first ``skip``, at most ``limit`` of them, the oldest first.

        Raises:
            InvalidInputError: at ``limit``, they are too large together. Whoever counts on has to get all of them.
        """
        found = await TemplateStore(principal, vocabulary).window(skip, limit)
        if found.more and len(found.items) < limit:
            message = f"so many are too large for one answer; ask for at most {len(found.items)} at a time"
            raise invalid_input(Problem("limit", "TOO_LARGE", message))
        return await self._webhooks.of(principal, found.items)

    async def count(self, principal: Principal, vocabulary: str) -> int:
        """How many templates ``window`` goes through."""
        return await TemplateStore(principal, vocabulary).count()

    async def delete(self, principal: Principal, template_id: str, vocabulary: str, wanted: Versions = None) -> None:
        """Hide a template for good.

        Raises:
            NotFoundError: there is none.
            NotAllowedError: ``READ_ONLY_SHARED_TEMPLATE``.
            OutdatedError: it has none of the versions that are wanted.
        """
        store = TemplateStore(principal, vocabulary)
        current = await self._own(principal, template_id, vocabulary)
        require_version(current.version, wanted)
        if not await store.delete(template_id, now_as_stored(), None if wanted is None else current.version):
            if wanted is not None and await store.get(template_id) is not None:
                raise outdated()
            raise not_found("template", template_id)
        await self._leave(principal, current.template)

    async def _all_usable(self, principal: Principal, vocabulary: str) -> UsableTemplates:
        return UsableTemplates(principal, vocabulary, await self._reach.above(principal.tenant_id))

    async def _usable(self, principal: Principal, template_id: str, vocabulary: str) -> TemplateDocument:
        if (document := await (await self._all_usable(principal, vocabulary)).get(template_id)) is None:
            raise not_found("template", template_id)
        return document

    async def _own(self, principal: Principal, template_id: str, vocabulary: str) -> TemplateDocument:
        """One that may be changed."""
        if (current := await TemplateStore(principal, vocabulary).get(template_id)) is not None:
            return current
        shared = await self._usable(principal, template_id, vocabulary)
        raise NotAllowedError(
            "READ_ONLY_SHARED_TEMPLATE",
            f"the template is shared by the organization {shared.tenant_id}, which alone can change it; make a copy of "
            "it, and change that",
        )

    async def _with_keys(
        self, principal: Principal, template: Template, write: Callable[[Session], Awaitable[Linked]]
    ) -> Linked:
        """Save a template in one transaction with what counts for it, its keys being in force."""
        target = OrganizationTarget(self._mongo, principal.tenant_id)
        try:
            while True:
                keys = await self._keys.register(principal.tenant_id, template)
                failpoint("gateway.keys_registered_before_template")

                async def body(session: Session, keys: tuple[TargetKey, ...] = keys) -> Linked | None:
                    await target.one_save_at_a_time(session)
                    if not await target.keep(keys, session):
                        return None  # somebody released them, because no template asked for them yet
                    resources, new = await target.count_resource(template.target_resource, session)
                    if new and resources > self._quotas.resources:
                        raise too_many_resources(self._quotas.resources)
                    return await write(session)

                if (linked := await self._mongo.transaction(body)) is not None:
                    return linked
        except BusyError:
            raise
        except GatewayError:
            await self._release(principal, template)
            raise

    async def _leave(self, principal: Principal, template: Template) -> None:
        """Let what only a template that is no more asked for bind and count no longer."""
        await self._release(principal, template)
        await OrganizationTarget(self._mongo, principal.tenant_id).forget_if_seen(template.target_resource)

    async def _release(self, principal: Principal, template: Template) -> None:
        asked = {key.names for key in asked_keys(template)}
        await OrganizationTarget(self._mongo, principal.tenant_id).release(template.target_resource, asked)


def _too_many_templates(limit: int) -> ConflictError:
    return ConflictError(
        "TOO_MANY_TEMPLATES", f"the organization has {limit} templates, as many as it may have; delete one"
    )


def too_many_resources(limit: int) -> ConflictError:
    """The refusal of one resource more than an organization may have."""
    detail = (
        f"the organization has {limit} target resources, as many as it may have; use one of them, or delete the "
        "templates and the records of one"
    )
    return ConflictError("TOO_MANY_RESOURCES", detail, [Problem("target_resource", "TOO_MANY_RESOURCES", detail)])


def _changed_meanwhile(current: str) -> ConflictError:
    return ConflictError("TEMPLATE_CHANGED", f"the template was changed meanwhile and is {current} now; read it again")
