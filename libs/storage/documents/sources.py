"""Places where files arrive by themselves, and the ledger of the files that were seen there."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BaseModel
from pymongo import ASCENDING, DESCENDING, IndexModel

from libs.storage.documents.leases import Lease
from libs.storage.documents.state_document import StateDocument
from libs.storage.sealing import Sealed


class SftpServer(BaseModel):
    """Where a source's server is and how to log in there.

    Attributes:
        host_keys: fingerprints (``SHA256:…``) or public keys (``ssh-ed25519 AAAA…``), one of which it has to show.
        by_key: whether a private key opens it; else a password does.
        credentials: encrypted: JSON with ``password`` and ``private_key``.
    """

    host: str
    port: int
    username: str
    host_keys: list[str]
    by_key: bool
    credentials: Annotated[str, Sealed()]


class SourceTrouble(BaseModel):
    """Why something does not work."""

    code: str
    message: str


class SourceDocument(StateDocument):
    """A place where files arrive; see ``services.gateway.sources``.

    Attributes:
        version: rises with each change by its owner; what the poller notes changes nothing of it.
        sftp: the server; ``None`` of a watched directory.
        directory: on the server; of a watched directory below the folder of the organization.
        subdirectories: whether files below it are taken too.
        pattern: of the names of files, with ``*`` and ``?``.
        stable_seconds: how long a file has to stay as it is before it is taken.
        marker: ending of the name of an empty file beside a file that says that it is complete; ``None`` without.
        leave: files stay where they are and are remembered; else they are moved.
        done_directory, failed_directory: names, below ``directory``, of where they are moved to.
        every_seconds: how often it is looked there; ``None`` where ``cron`` says when, in ``time_zone``.
        expected_by: cron expression, in ``time_zone``: by then a file has to have come since the time before.
        look_at: when the poller is to turn to it next.
        list_at: when it is to be looked what is there; before, only files that were taken are followed.
        looked_at: when that was last begun (server time).
        failures: looks that failed since the last one that did not; ``trouble`` says why.
        arrived_at: when the last file was taken.
        expect_since, expect_at: between these times a file is to come.
        missing_since: when one was found to be missing; ``None`` after the next one came.
    """

    tenant_id: str
    name: str
    version: int = 1
    template_id: str
    sftp: SftpServer | None = None
    directory: str
    subdirectories: bool = False
    pattern: str = "*"
    stable_seconds: float = 30
    marker: str | None = None
    leave: bool = False
    done_directory: str = "done"
    failed_directory: str = "failed"
    every_seconds: int | None = None
    cron: str | None = None
    time_zone: str = "UTC"
    expected_by: str | None = None
    enabled: bool = True
    created_at: datetime
    updated_at: datetime
    look_at: datetime
    list_at: datetime
    looked_at: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None
    trouble: SourceTrouble | None = None
    arrived_at: datetime | None = None
    expect_since: datetime | None = None
    expect_at: datetime | None = None
    missing_since: datetime | None = None
    lease: Lease | None = None

    class Settings:
        name = "sources"
        indexes: ClassVar = [
            IndexModel([("tenant_id", ASCENDING), ("_id", DESCENDING)], name="newest"),
            IndexModel([("enabled", ASCENDING), ("look_at", ASCENDING)], name="due"),
            IndexModel(
                [("failing_since", ASCENDING), ("enabled", ASCENDING)],
                name="failing",
                partialFilterExpression={"failing_since": {"$type": "date"}},
            ),
        ]


class SourceFileState(StrEnum):
    """Only ever goes on to a later one, but for a file that is given back to ``seen``."""

    SEEN = "seen"
    CLAIMED = "claimed"
    """Its content is being stored, under an idempotency key that is the id of the entry."""
    SUBMITTED = "submitted"
    """It has its run."""
    REFUSED = "refused"
    """It gets no run; it is to be moved."""
    SETTLED = "settled"


class SourceFileOutcome(StrEnum):
    IMPORTED = "imported"
    FAILED = "failed"
    """The run failed, or was cancelled."""
    REFUSED = "refused"
    UNCHANGED = "unchanged"
    """It stayed where it is, and has the content that was imported from there already."""
    VANISHED = "vanished"


class SourceFileDocument(StateDocument):
    """A file of a source: one arrival of one size and time under one path.

    Attributes:
        identity: source, path, size and time, as a digest.
        arrival: how often that came again after it had been moved away.
        path: below the source's directory, slashes between; bytes that are no readable UTF-8, and ``%``, as ``%XX``.
        modified_ns: nanoseconds since 1970; SFTP knows whole seconds.
        owner: the taking of the source's lease under which it is claimed.
        moved_to: where it is now, likewise; ``None`` where it was left.
        trouble: why it was refused, or could not be moved yet.
        attempts: how often that was tried.
        forget_at: when this entry goes; ``None`` where the file may still lie there.
    """

    tenant_id: str
    source_id: str
    identity: str
    arrival: int = 0
    path: str
    size: int
    modified_ns: int
    state: SourceFileState = SourceFileState.SEEN
    outcome: SourceFileOutcome | None = None
    owner: str | None = None
    first_seen_at: datetime
    claimed_at: datetime | None = None
    settled_at: datetime | None = None
    run_id: str | None = None
    sha256: str | None = None
    moved_to: str | None = None
    trouble: SourceTrouble | None = None
    attempts: int = 0
    forget_at: datetime | None = None

    class Settings:
        name = "source_files"
        indexes: ClassVar = [
            IndexModel([("source_id", ASCENDING), ("identity", ASCENDING), ("arrival", DESCENDING)], name="identity"),
            IndexModel([("source_id", ASCENDING), ("state", ASCENDING), ("first_seen_at", ASCENDING)], name="open"),
            IndexModel([("source_id", ASCENDING), ("path", ASCENDING)], name="path"),
            IndexModel(
                [
                    ("tenant_id", ASCENDING),
                    ("source_id", ASCENDING),
                    ("first_seen_at", DESCENDING),
                    ("_id", DESCENDING),
                ],
                name="newest",
            ),
            IndexModel([("forget_at", ASCENDING)], name="forgotten", expireAfterSeconds=0),
        ]
