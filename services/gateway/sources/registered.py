"""Sources of an organization: made, changed, tried, paused, and what was seen there."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from libs.egress.rules import host_problem
from libs.process.shares import NoSlotError, Shares
from libs.storage.documents import SftpServer, SourceDocument, SourceFileDocument, SourceFileState
from libs.storage.stored_times import now_as_stored
from services.gateway.access.principal import Principal
from services.gateway.access.reach import Reach
from services.gateway.errors import (
    ConflictError,
    LimitError,
    Problem,
    Versions,
    invalid_input,
    not_found,
    outdated,
    require_version,
)
from services.gateway.sources.names import readable, usable_name
from services.gateway.sources.opening import Places
from services.gateway.sources.places import Entry, FaultCode, SourceFault
from services.gateway.sources.schedules import cron_problem, next_time, zone_problem
from services.gateway.sources.sftp import host_key_problem, private_key_problem
from services.gateway.stores.paging import Page
from services.gateway.stores.sources import SourceFileStore, SourceStore
from services.gateway.stores.templates import UsableTemplates

MAX_SOURCES: Final = 50
TRIAL_SECONDS: Final = 40.0
TRIALS_AT_ONCE: Final = 16
SHOWN_FILES: Final = 10
_SERVER: Final = ("host", "port", "username", "host_keys")
_SECRETS: Final = ("password", "private_key")
_WHERE: Final = frozenset(
    {
        *_SERVER, *_SECRETS, "directory", "subdirectories", "leave", "done_directory", "failed_directory", "enabled",
    }
)  # fmt: skip
"""What of a source is tried when it changes."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of looking at a source.

    Attributes:
        fault: why it cannot be used.
        files: some of the files that lie there, as text.
    """

    fault: SourceFault | None = None
    files: tuple[str, ...] = ()


class Sources:
    """The sources of the organization that is acted for.

    Args:
        places: opens them.
        reach: knows whose templates there are.
    """

    def __init__(self, places: Places, reach: Reach) -> None:
        self._places = places
        self._reach = reach
        self._trials = Shares(TRIALS_AT_ONCE)

    async def add(
        self, principal: Principal, wanted: Mapping[str, Any], effect_id: str | None = None
    ) -> SourceDocument:
        """Make a source, once it was opened and listed.

        Args:
            principal: for whom.
            wanted: members of ``SourceDocument`` and ``SftpServer`` side by side, with ``type``: ``sftp`` or
                ``directory``, and ``password`` or ``private_key``.
            effect_id: the id of what a repeated request makes; where it is there, that is the answer.

        Raises:
            NotFoundError: ``TEMPLATE_NOT_FOUND``.
            InvalidInputError: something of it cannot be used, or the place cannot.
            LimitError: ``TOO_MANY_SOURCES``, or too many are being tried.
        """
        if effect_id is not None and (known := await SourceStore(principal).get(effect_id)) is not None:
            return known
        await self._require_template(principal, wanted["template_id"])
        await asyncio.to_thread(self._judge, wanted, wanted)
        store, now = SourceStore(principal), now_as_stored()
        if await store.count(MAX_SOURCES) >= MAX_SOURCES:
            raise LimitError("TOO_MANY_SOURCES", f"the organization has {MAX_SOURCES} sources; remove some")
        members = {name: value for name, value in wanted.items() if name in SourceDocument.model_fields}
        document = SourceDocument(
            _id=effect_id or str(ObjectId()),
            tenant_id=principal.tenant_id,
            sftp=self._server(wanted, None) if wanted["type"] == "sftp" else None,
            created_at=now,
            updated_at=now,
            look_at=now,
            list_at=now,
            **{**members, **_expectation(members, now)},
        )
        await self._require_usable(document)
        try:
            await store.insert(document, None)
        except DuplicateKeyError:  # another attempt at the same request was faster
            return await self.get(principal, document.id)
        return document

    async def page(self, principal: Principal, limit: int, after: str | None) -> Page[SourceDocument]:
        """All that there are, the newest first."""
        return await SourceStore(principal).page(limit, after)

    async def get(self, principal: Principal, source_id: str) -> SourceDocument:
        """One of them.

        Raises:
            NotFoundError: ``SOURCE_NOT_FOUND``.
        """
        if (found := await SourceStore(principal).get(source_id)) is None:
            raise not_found("source", source_id)
        return found

    async def change(
        self, principal: Principal, source_id: str, changes: Mapping[str, Any], versions: Versions = None
    ) -> SourceDocument:
        """Change some of what ``add`` takes, but for ``type``; tried where that is about its place.

        Raises:
            NotFoundError: as ``get`` and ``add``.
            OutdatedError: it has none of the versions that are wanted.
            InvalidInputError, LimitError: as ``add``.
        """
        known = await self.get(principal, source_id)
        require_version(known.version, versions)
        if "template_id" in changes:
            await self._require_template(principal, changes["template_id"])
        merged = {**_asked(known), **changes}
        await asyncio.to_thread(self._judge, merged, changes)
        now = now_as_stored()
        members = {name: value for name, value in changes.items() if name in SourceDocument.model_fields}
        if known.sftp is not None and changes.keys() & {*_SERVER, *_SECRETS}:
            members["sftp"] = self._server(merged, known.sftp)
        if changes.keys() & {"expected_by", "time_zone"}:
            members |= _expectation(merged, now)
        members |= {"updated_at": now, "look_at": now, "list_at": now}
        changed = known.model_copy(update=members)
        if changed.enabled and changes.keys() & _WHERE:
            await self._require_usable(changed)
        if "sftp" in members:
            members["sftp"] = members["sftp"].model_dump()
        return await self._changed(principal, source_id, members, versions)

    async def remove(self, principal: Principal, source_id: str, versions: Versions = None) -> None:
        """Remove a source, and what is known of its files; their runs stay.

        Raises:
            NotFoundError, OutdatedError: as ``change``.
        """
        require_version((await self.get(principal, source_id)).version, versions)
        if not await SourceStore(principal).remove(source_id, versions):
            raise outdated()
        await SourceFileStore(principal).forget(source_id)

    async def pause(self, principal: Principal, source_id: str) -> SourceDocument:
        """Take no files from it until it is resumed; runs that have begun go on.

        Raises:
            NotFoundError: as ``get``.
        """
        return await self._switched(principal, source_id, {"enabled": False})

    async def resume(self, principal: Principal, source_id: str) -> SourceDocument:
        """Take files again, at once, without a past.

        Raises:
            NotFoundError: as ``get``.
        """
        now = now_as_stored()
        known = await self.get(principal, source_id)
        well = {"failures": 0, "failing_since": None, "trouble": None, "look_at": now, "list_at": now}
        return await self._switched(principal, source_id, {"enabled": True, **well, **_expectation(_asked(known), now)})

    async def look(self, principal: Principal, source_id: str) -> SourceDocument:
        """Let a poller look at it as soon as possible.

        Raises:
            NotFoundError: as ``get``.
            ConflictError: ``SOURCE_PAUSED``.
        """
        if not await SourceStore(principal).look_now(source_id, now_as_stored()):
            await self.get(principal, source_id)
            raise ConflictError("SOURCE_PAUSED", "the source is paused; resume it first")
        return await self.get(principal, source_id)

    async def test(self, principal: Principal, source_id: str) -> Trial:
        """Open it, and list what is there.

        Raises:
            NotFoundError: as ``get``.
            LimitError: too many are being tried.
        """
        return await self._tried(await self.get(principal, source_id))

    async def files(
        self,
        principal: Principal,
        source_id: str,
        states: Collection[SourceFileState] | None,
        limit: int,
        after: str | None,
    ) -> Page[SourceFileDocument]:
        """What was seen there, with what became of it, the newest first.

        Raises:
            NotFoundError: as ``get``.
        """
        await self.get(principal, source_id)
        return await SourceFileStore(principal).page(source_id, None if states is None else list(states), limit, after)

    # --- what has to hold -----------------------------------------------------------------------

    async def _switched(self, principal: Principal, source_id: str, changes: Mapping[str, Any]) -> SourceDocument:
        await self.get(principal, source_id)
        return await self._changed(principal, source_id, {**changes, "updated_at": now_as_stored()}, None)

    async def _changed(
        self, principal: Principal, source_id: str, changes: Mapping[str, Any], versions: Versions
    ) -> SourceDocument:
        if not await SourceStore(principal).change(source_id, changes, versions):
            await self.get(principal, source_id)
            raise outdated()
        return await self.get(principal, source_id)

    async def _require_template(self, principal: Principal, template_id: str) -> None:
        above = await self._reach.above(principal.tenant_id)
        if await UsableTemplates(principal, None, above).get(template_id) is None:
            raise not_found("template", template_id)

    async def _require_usable(self, document: SourceDocument) -> None:
        fault = (await self._tried(document)).fault
        if fault is not None:
            raise invalid_input(Problem(fault.at, fault.code.value, fault.message))

    async def _tried(self, document: SourceDocument) -> Trial:
        try:
            with self._trials.slot(document.tenant_id):
                async with asyncio.timeout(TRIAL_SECONDS):
                    return await self._try(document)
        except TimeoutError:
            message = f"it does not answer within {TRIAL_SECONDS:.0f} s"
            return Trial(SourceFault(FaultCode.TIMED_OUT, message, "directory" if document.sftp is None else "host"))
        except SourceFault as fault:
            return Trial(fault)
        except NoSlotError:
            message = "too many sources are being tried at the moment; try again"
            raise LimitError("TOO_MANY_TRIALS", message) from None

    async def _try(self, document: SourceDocument) -> Trial:
        async with self._places.opened(document) as place:
            async with aclosing(place.entries()) as portions:
                first = await anext(portions, list[Entry]())
            if not document.leave:
                await place.prepare(document.done_directory.encode())
                await place.prepare(document.failed_directory.encode())
            return Trial(None, tuple(readable(each.path) for each in sorted(first)[:SHOWN_FILES]))

    def _server(self, wanted: Mapping[str, Any], known: SftpServer | None) -> SftpServer:
        password, private_key = wanted.get("password"), wanted.get("private_key")
        given = password is not None or private_key is not None
        return SftpServer(
            host=wanted["host"],
            port=wanted["port"],
            username=wanted["username"],
            host_keys=list(wanted["host_keys"]),
            by_key=private_key is not None if given or known is None else known.by_key,
            credentials=self._places.sealed(password, private_key) if given or known is None else known.credentials,
        )

    def _judge(self, wanted: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        """See that a source can be as it is wanted.

        Args:
            wanted: all of it.
            given: what of it is said just now.
        """
        problems = [*_of_files(wanted), *_of_times(wanted)]
        if wanted["type"] == "sftp":
            problems += self._of_server(wanted, given)
        else:
            problems += [
                Problem(name, "INVALID", "is for sources of type sftp; leave it out")
                for name in (*_SERVER, *_SECRETS)
                if given.get(name) and name != "port"
            ]
        if problems:
            raise invalid_input(*problems)

    def _of_server(self, wanted: Mapping[str, Any], given: Mapping[str, Any]) -> list[Problem]:
        problems = [
            Problem(name, "MISSING", "is required of a source of type sftp")
            for name in ("host", "username")
            if not wanted.get(name)
        ]
        if wanted.get("host") and (problem := host_problem(wanted["host"], self._places.allowed_networks)):
            problems.append(Problem("host", "INVALID", problem))
        for number, key in enumerate(wanted.get("host_keys") or ()):
            if problem := host_key_problem(key):
                problems.append(Problem(f"host_keys[{number}]", "INVALID", problem))
        secrets = [name for name in _SECRETS if given.get(name) is not None]
        moved = any(name in given for name in ("host", "port", "username"))
        if len(secrets) > 1:
            problems.append(Problem("password", "INVALID", "give a password or a private_key, not both"))
        elif not secrets and moved:
            # Else whoever may change a source could have what is stored sent to a server of their own.
            problems.append(Problem("password", "MISSING", "give password or private_key along with the server"))
        if given.get("private_key") is not None and (problem := private_key_problem(given["private_key"])):
            problems.append(Problem("private_key", "INVALID", problem))
        return problems


def _of_files(wanted: Mapping[str, Any]) -> list[Problem]:
    names = ("done_directory", "failed_directory")
    problems = [
        Problem(name, "INVALID", "is no name of one directory; leave slashes out")
        for name in names
        if not usable_name(wanted[name].encode(errors="replace"))
    ]
    if wanted[names[0]] == wanted[names[1]]:
        problems.append(Problem(names[1], "INVALID", "is to be another one than done_directory"))
    if "\0" in wanted["directory"] or ".." in wanted["directory"].split("/"):
        problems.append(Problem("directory", "INVALID", "may not hold '..'"))
    if wanted["marker"] is not None and not usable_name(f"x{wanted['marker']}".encode(errors="replace")):
        problems.append(Problem("marker", "INVALID", "is no ending of a name; write it like '.done'"))
    return problems


def _of_times(wanted: Mapping[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    if (wanted["every_seconds"] is None) == (wanted["cron"] is None):
        problems.append(Problem("every_seconds", "INVALID", "give either every_seconds or cron; null for the other"))
    problems += [
        Problem(name, "INVALID", problem)
        for name in ("cron", "expected_by")
        if wanted[name] is not None and (problem := cron_problem(wanted[name]))
    ]
    if problem := zone_problem(wanted["time_zone"]):
        problems.append(Problem("time_zone", "INVALID", problem))
    return problems


def _asked(known: SourceDocument) -> dict[str, Any]:
    """A source as ``add`` takes it, without its secrets."""
    server: dict[str, Any] = {} if known.sftp is None else known.sftp.model_dump(include=set(_SERVER))
    return {
        **known.model_dump(exclude={"sftp"}), **server, "type": "directory" if known.sftp is None else "sftp"
    }  # fmt: skip


def _expectation(wanted: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    if wanted.get("expected_by") is None:
        return {"expect_since": None, "expect_at": None, "missing_since": None}
    at = next_time(wanted["expected_by"], wanted["time_zone"], now)
    return {"expect_since": now, "expect_at": at, "missing_since": None}
