"""Sources and their files as requests ask for them and answers show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BaseModel, Field

from libs.storage.documents import SourceDocument, SourceFileDocument, SourceFileOutcome, SourceFileState
from services.gateway.http.openapi import JsonOperation
from services.gateway.http.public_ids import model_id
from services.gateway.http.request_shape import Json, Part, read_part
from services.gateway.sources.registered import Trial

_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Directory = Annotated[str, Field(max_length=1_000)]
_Folder = Annotated[str, Field(min_length=1, max_length=100)]
_Pattern = Annotated[str, Field(min_length=1, max_length=200)]
_Seconds = Annotated[float, Field(ge=0, le=86_400, strict=False)]
_Every = Annotated[int, Field(ge=10, le=86_400)]
_Cron = Annotated[str, Field(min_length=1, max_length=100)]
_Zone = Annotated[str, Field(min_length=1, max_length=100)]
_Host = Annotated[str, Field(min_length=1, max_length=253)]
_Port = Annotated[int, Field(ge=1, le=65_535)]
_Marker = Annotated[str, Field(min_length=1, max_length=50)]
_Password = Annotated[str, Field(min_length=1, max_length=1_000)]
_PrivateKey = Annotated[str, Field(min_length=1, max_length=16_384)]
_HostKeys = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=2_000)], ...], Field(max_length=10, strict=False)
]
_TemplateId = Annotated[str, Field(min_length=1, max_length=100)]


class SourceType(StrEnum):
    SFTP = "sftp"
    DIRECTORY = "directory"


class AfterImport(StrEnum):
    MOVE = "move"
    """Files are moved to ``done_directory`` or ``failed_directory``, with a report beside them."""
    LEAVE = "leave"
    """Files stay where they are, and are remembered."""


class SourceStatus(StrEnum):
    ACTIVE = "active"
    FAILING = "failing"
    """It could not be used when it was last looked at; see ``trouble``."""
    PAUSED = "paused"


# --- what is asked for --------------------------------------------------------------------------


class NewSource(Part):
    """A place where files arrive. It is opened and listed before it is saved.

    Of type `sftp`: `host`, `port`, `username`, `host_keys` (fingerprints `SHA256:…` or public keys, one of which the
    server has to show) and `password` or `private_key`, which are never shown again. Of type `directory`: `directory`
    is below the folder that the operator has made for the organization.
    """

    name: _Name
    template_id: _TemplateId
    type: Annotated[SourceType, Field(strict=False)]
    host: _Host | None = None
    port: _Port = 22
    username: _Name | None = None
    host_keys: _HostKeys = ()
    password: _Password | None = None
    private_key: _PrivateKey | None = None
    directory: _Directory = ""
    subdirectories: bool = False
    pattern: _Pattern = "*"
    stable_seconds: _Seconds = 30.0
    marker: _Marker | None = None
    after_import: Annotated[AfterImport, Field(strict=False)] = AfterImport.MOVE
    done_directory: _Folder = "done"
    failed_directory: _Folder = "failed"
    every_seconds: _Every | None = None
    cron: _Cron | None = None
    time_zone: _Zone = "UTC"
    expected_by: _Cron | None = None
    enabled: bool = True


class SourceChanges(Part):
    """What is left out stays as it is. With another server, `password` or `private_key` are to be given again."""

    name: _Name = "-"
    template_id: _TemplateId = "-"
    host: _Host = "-"
    port: _Port = 22
    username: _Name = "-"
    host_keys: _HostKeys = ()
    password: _Password | None = None
    private_key: _PrivateKey | None = None
    directory: _Directory = ""
    subdirectories: bool = False
    pattern: _Pattern = "*"
    stable_seconds: _Seconds = 30.0
    marker: _Marker | None = None
    after_import: Annotated[AfterImport, Field(strict=False)] = AfterImport.MOVE
    done_directory: _Folder = "done"
    failed_directory: _Folder = "failed"
    every_seconds: _Every | None = None
    cron: _Cron | None = None
    time_zone: _Zone = "UTC"
    expected_by: _Cron | None = None
    enabled: bool = True


@dataclass
class NewSourceOperation(JsonOperation):
    model = NewSource
    shown: ClassVar[Json | None] = {
        "name": "Nightly stock",
        "template_id": "665f1f77bcf86cd799439011",
        "type": "sftp",
        "host": "sftp.example.com",
        "username": "acme",
        "host_keys": ["SHA256:AbCdEfGhIjKlMnOpQrStUvWxYz0123456789+/abcde"],
        "password": "…",
        "directory": "/outbox",
        "pattern": "*.csv",
        "cron": "0 6 * * mon-fri",
        "time_zone": "Europe/Berlin",
        "expected_by": "0 7 * * mon-fri",
    }


@dataclass
class SourceChangeOperation(JsonOperation):
    model = SourceChanges
    shown: ClassVar[Json | None] = {"pattern": "*.csv", "stable_seconds": 60}


# --- what is shown ------------------------------------------------------------------------------


class TroubleView(BaseModel):
    """Why something does not work."""

    code: str
    message: str


class SourceView(BaseModel):
    """A source. ``looked_at`` is when it was last looked at, ``next_look_at`` when that is next.

    ``failures`` counts the looks that failed since the last one that went well; ``missing_since`` is the time by which
    a file was expected, as long as none has come.
    """

    id: str
    name: str
    template_id: str
    type: SourceType
    status: SourceStatus
    host: str | None
    port: int | None
    username: str | None
    host_keys: list[str]
    authentication: Literal["password", "private_key"] | None
    directory: str
    subdirectories: bool
    pattern: str
    stable_seconds: float
    marker: str | None
    after_import: AfterImport
    done_directory: str
    failed_directory: str
    every_seconds: int | None
    cron: str | None
    time_zone: str
    expected_by: str | None
    enabled: bool
    looked_at: datetime | None
    next_look_at: datetime | None
    arrived_at: datetime | None
    missing_since: datetime | None
    failures: int
    failing_since: datetime | None
    trouble: TroubleView | None
    created_at: datetime
    updated_at: datetime


class SourcePage(BaseModel):
    """Newest first; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[SourceView]
    next_after: str | None


class TrialView(BaseModel):
    """``trouble`` is why it cannot be used; ``files`` are some of those that lie there."""

    ok: bool
    trouble: TroubleView | None
    files: list[str]


class SourceFileView(BaseModel):
    """A file that was seen. ``path`` has bytes that are no UTF-8, control characters and ``%`` as ``%XX``.

    ``status`` is ``seen`` while it is waited for, ``claimed`` while it is stored, ``submitted`` while its import runs,
    ``refused`` before it is put away, and ``settled``; ``outcome`` what became of it.
    """

    id: str
    path: str
    size: int
    modified_at: datetime
    status: SourceFileState
    outcome: SourceFileOutcome | None
    run_id: str | None
    sha256: str | None
    moved_to: str | None
    trouble: TroubleView | None
    first_seen_at: datetime
    settled_at: datetime | None


class SourceFilePage(BaseModel):
    """Newest first; ``next_after`` is the ``after`` of the next page, null on the last."""

    data: list[SourceFileView]
    next_after: str | None


SOURCE_MODELS: Final = (NewSource, SourceChanges)
"""What request bodies refer to."""
_MAX_YEAR: Final = 253_402_300_799


def read_new(body: object) -> dict[str, Any]:
    """The source that is wanted; looked at every minute where nothing is said of that."""
    asked, _ = read_part(NewSource, body)
    wanted = _stored(asked.model_dump())
    if wanted["every_seconds"] is None and wanted["cron"] is None:
        wanted["every_seconds"] = 60
    return wanted


def read_changes(body: object) -> dict[str, Any]:
    """What of a source is to be changed."""
    asked, members = read_part(SourceChanges, body)
    return _stored(asked.model_dump(include=set(members)))


def _stored(asked: dict[str, Any]) -> dict[str, Any]:
    if "after_import" in asked:
        asked["leave"] = asked.pop("after_import") is AfterImport.LEAVE
    if "template_id" in asked:
        asked["template_id"] = model_id(asked["template_id"])
    if "type" in asked:
        asked["type"] = asked["type"].value
    return asked


def present_source(stored: SourceDocument) -> SourceView:
    server = stored.sftp
    same = SourceView.model_fields.keys() & SourceDocument.model_fields.keys() - {"trouble"}
    return SourceView(
        **stored.model_dump(include=same),
        type=SourceType.DIRECTORY if server is None else SourceType.SFTP,
        status=_status(stored),
        host=None if server is None else server.host,
        port=None if server is None else server.port,
        username=None if server is None else server.username,
        host_keys=[] if server is None else server.host_keys,
        authentication=None if server is None else ("private_key" if server.by_key else "password"),
        after_import=AfterImport.LEAVE if stored.leave else AfterImport.MOVE,
        next_look_at=stored.look_at if stored.enabled else None,
        trouble=None if stored.trouble is None else TroubleView(**stored.trouble.model_dump()),
    )


def present_sources(found: Sequence[SourceDocument], *, more: bool) -> SourcePage:
    return SourcePage(data=[present_source(each) for each in found], next_after=found[-1].id if more else None)


def present_trial(trial: Trial) -> TrialView:
    fault = trial.fault
    told = None if fault is None else TroubleView(code=fault.code.value, message=fault.message)
    return TrialView(ok=fault is None, trouble=told, files=list(trial.files))


def present_files(found: Sequence[SourceFileDocument], *, more: bool) -> SourceFilePage:
    return SourceFilePage(data=[_file(each) for each in found], next_after=found[-1].id if more else None)


def _file(stored: SourceFileDocument) -> SourceFileView:
    same = SourceFileView.model_fields.keys() & SourceFileDocument.model_fields.keys() - {"trouble"}
    seconds = min(max(stored.modified_ns // 1_000_000_000, 0), _MAX_YEAR)
    return SourceFileView(
        **stored.model_dump(include=same),
        status=stored.state,
        modified_at=datetime.fromtimestamp(seconds, UTC),
        trouble=None if stored.trouble is None else TroubleView(**stored.trouble.model_dump()),
    )


def _status(stored: SourceDocument) -> SourceStatus:
    if not stored.enabled:
        return SourceStatus.PAUSED
    return SourceStatus.FAILING if stored.trouble is not None else SourceStatus.ACTIVE
