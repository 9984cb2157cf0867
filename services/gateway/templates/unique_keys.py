"""Sees that what a template asks of the records of its target holds, before the template is saved.

The organization's own records are given their entries meanwhile: that takes as long as they are many, so it goes on in
the background when the client has waited long enough, and is found done when the template is sent again.
"""

import asyncio
from dataclasses import dataclass
from typing import NoReturn

from pymongo.errors import OperationFailure

from libs.contracts.templates import AskedKey, Template, asked_keys
from libs.storage.client import Mongo
from libs.storage.mongo_errors import is_transient
from libs.storage.target_keys import KeysNotUniqueError, TargetKey, TooManyKeysError
from services.gateway.errors import BusyError, ConflictError, Problem
from services.gateway.stores.target import OrganizationTarget

Wanted = tuple[tuple[str, ...], ...]


def not_unique(key: AskedKey, resource: str) -> ConflictError:
    """The refusal of a key that the records break already."""
    same = " and ".join(map(repr, key.names))
    if key.is_upsert_key:
        code, remedy = "UPSERT_KEY_NOT_UNIQUE", "so it cannot identify one; choose another upsert_key"
    else:
        code, remedy = "VALUES_NOT_UNIQUE", "which the rule 'unique' forbids; leave out its against_target"
    return _refused(key, code, f"records in {resource!r} have the same {same}, {remedy}, or remove the duplicates")


def too_many(key: AskedKey, resource: str, limit: int) -> ConflictError:
    """The refusal of one key more than an organization may have in a resource."""
    code = "TOO_MANY_UPSERT_KEYS" if key.is_upsert_key else "TOO_MANY_UNIQUE_RULES"
    return _refused(
        key,
        code,
        f"the organization's templates may ask for {limit} keys in {resource!r} (upsert keys, and combinations that "
        f"'unique' compares with the target), and {' and '.join(map(repr, key.names))} would be one more; use one "
        "that is there already, or delete templates that are not needed",
    )


def no_such_index(key: AskedKey, resource: str) -> ConflictError:
    """The refusal of a collection that can have no keys."""
    return _refused(
        key,
        "INDEX_CONFLICT",
        f"MongoDB makes no unique index on the collection {resource!r}, which keys need: it is a view or one of time "
        "series, or has as many indexes as it can have; choose another target_resource, or ask an administrator of "
        "the database",
    )


def _refused(key: AskedKey, code: str, detail: str) -> ConflictError:
    return ConflictError(code, detail, [Problem(key.location, code, detail)])


@dataclass(frozen=True, slots=True)
class _Registering:
    """What is under way for an organization."""

    resource: str
    wanted: Wanted
    task: asyncio.Task[tuple[TargetKey, ...]]


class KeyRegistrar:
    """Registers the keys of templates, those of one organization one template after the other.

    Args:
        mongo: the databases.
        limit: most keys of an organization in one resource.
        wait_seconds: how long a client waits.
    """

    def __init__(self, mongo: Mongo, limit: int, wait_seconds: float) -> None:
        self._mongo = mongo
        self._limit = limit
        self._wait_seconds = wait_seconds
        self._under_way: dict[str, _Registering] = {}

    async def register(self, tenant_id: str, template: Template) -> tuple[TargetKey, ...]:
        """The keys that the template asks for, each in force.

        Raises:
            ConflictError: the records break a key already, there would be too many, or the collection can have none.
            BusyError: it is not done in ``wait_seconds``, and goes on.
        """
        asked = {key.names: key for key in asked_keys(template)}
        if not asked:
            return ()
        resource = template.target_resource
        try:
            async with asyncio.timeout(self._wait_seconds):
                return await self._registered(tenant_id, resource, tuple(asked))
        except TimeoutError:
            raise BusyError(
                "KEYS_BEING_BUILT",
                f"the records in {resource!r} are still being compared by what the template asks to be unique; that "
                "goes on, send the template again a little later",
            ) from None
        except KeysNotUniqueError as error:
            raise not_unique(asked[error.names], resource) from error
        except TooManyKeysError as error:
            raise too_many(asked[error.names], resource, self._limit) from error
        except OperationFailure as error:
            if is_transient(error):
                raise
            raise no_such_index(next(iter(asked.values())), resource) from error

    async def _registered(self, tenant_id: str, resource: str, wanted: Wanted) -> tuple[TargetKey, ...]:
        while (work := self._under_way.get(tenant_id)) is not None and (work.resource, work.wanted) != (
            resource,
            wanted,
        ):
            await asyncio.wait([work.task])
            self._done(tenant_id, work)
        if work is None:
            target = OrganizationTarget(self._mongo, tenant_id)
            task = asyncio.create_task(target.register(resource, wanted, limit=self._limit))
            task.add_done_callback(_noticed)
            work = _Registering(resource, wanted, task)
            self._under_way[tenant_id] = work
        await asyncio.wait([work.task])
        # Only now: who gave up waiting finds the end of it when he asks again.
        self._done(tenant_id, work)
        return work.task.result()

    async def close(self) -> None:
        """End what is under way; whoever sends the template again goes on with it."""
        tasks = [work.task for work in self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close_at_the_end(self) -> NoReturn:
        """A loop of a service that closes this when the service ends."""
        try:
            while True:
                await asyncio.Event().wait()
        finally:
            await self.close()

    def _done(self, tenant_id: str, work: _Registering) -> None:
        if self._under_way.get(tenant_id) is work:
            del self._under_way[tenant_id]


def _noticed(task: asyncio.Task[tuple[TargetKey, ...]]) -> None:
    """Who waited may have gone: then nobody asks how it ended."""
    if not task.cancelled():
        task.exception()
