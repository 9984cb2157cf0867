"""MongoDB: what it is, what is in it as this release declares it, what its user may do, and how full it is."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr
from pymongo import IndexModel
from pymongo.errors import OperationFailure, PyMongoError

from deploy.doctor.findings import Finding, good, problem, warning
from deploy.migrations import MIGRATIONS
from deploy.migrations.runner import made_migrations
from deploy.mongodb_roles import collection_of, missing_rights
from deploy.provision import FILE_INDEXES
from libs.contracts.errors import PermanentError
from libs.storage.client import Mongo, connect
from libs.storage.documents import DOCUMENTS, ProcessDocument
from libs.storage.resealing import SEALED_DOCUMENTS, KeyUse, Resealing
from libs.storage.sealing import SecretKeys
from libs.storage.settings import MongoSettings
from libs.telemetry.error_text import error_text

PROVISION = "run `python -m deploy.provision`"
CLOCK_WARNING, CLOCK_PROBLEM = timedelta(seconds=2), timedelta(seconds=30)
DISK_WARNING, DISK_PROBLEM = 0.80, 0.92
SILENT = timedelta(minutes=1)
MOST_SECRET_BYTES = 64 * 1024 * 1024
OLDEST_MONGODB, MAINTAINED_MONGODB = 6, 7
UNAUTHORIZED = 13

Clock = Callable[[], datetime]


async def look_at_mongodb(
    settings: MongoSettings,
    service: str | None = None,
    secret_key: SecretStr | None = None,
    clock: Clock = lambda: datetime.now(UTC),
) -> list[Finding]:
    """Everything about MongoDB; one finding where it cannot be reached.

    Args:
        settings: where it is.
        service: whose rights the user has to have; none are looked for without.
        secret_key: with which stored secrets are encrypted; several as ``SecretKeys`` takes them.
        clock: of this process.
    """
    try:
        mongo = await connect(settings)
    except PermanentError as error:
        return [problem("mongodb", str(error), "start mongod with --replSet, and initiate the set once")]
    except PyMongoError as error:
        return [
            problem(
                "mongodb",
                error_text(error),
                "look whether it runs and ROWDOCK_MONGODB says where it is and how to log in",
            )
        ]
    looks: dict[str, Awaitable[Iterable[Finding]]] = {
        "mongodb": _server(mongo),
        "clocks": _clock(mongo, clock),
        "rights": _rights(mongo, service),
        "indexes": _indexes(mongo),
        "migrations": _migrations(mongo),
        "keys": _secrets(mongo, secret_key),
        "disk": _disk(mongo),
        "processes": _processes(mongo),
    }
    try:
        return [finding for subject, look in looks.items() for finding in await _allowed(subject, look)]
    finally:
        await mongo.client.close()


async def _allowed(subject: str, look: Awaitable[Iterable[Finding]]) -> list[Finding]:
    """What was found, or that the user may not look there."""
    try:
        return list(await look)
    except OperationFailure as error:
        if error.code != UNAUTHORIZED:
            raise
        return [warning(subject, "the user of MongoDB may not look there", "run the doctor as the gateway's user")]


async def _server(mongo: Mongo) -> Iterator[Finding]:
    hello = await mongo.state.command("hello")
    version = (await mongo.state.command("buildInfo"))["version"]
    members = len(hello.get("hosts", [])) - len(hello.get("arbiters", []))
    found = [good("mongodb", f"{version} answers, a replica set of {members}")]
    major = int(version.partition(".")[0])
    if major < OLDEST_MONGODB:
        found.append(problem("mongodb", f"release {version} is too old", "upgrade MongoDB to 7.0 or newer"))
    elif major < MAINTAINED_MONGODB:
        found.append(warning("mongodb", f"release {version} is not maintained any more", "upgrade MongoDB"))
    if members < 3:
        found.append(
            warning(
                "replica set",
                f"{members} members hold the data: when a disk is lost, so is everything since the last backup",
                "add members until three hold the data",
            )
        )
    asked_for = mongo.client.write_concern.document.get("w", "majority")
    if asked_for != "majority":
        found.append(
            warning(
                "write concern",
                "the connection string asks for less than a majority; Rowdock's own writes ask for it all the same",
                "take w=… out of ROWDOCK_MONGODB",
            )
        )
    return iter(found)


async def _clock(mongo: Mongo, clock: Clock) -> list[Finding]:
    before = clock()
    hello = await mongo.state.command("hello")
    after = clock()
    ahead = before + (after - before) / 2 - hello["localTime"].replace(tzinfo=UTC)
    text = f"this machine is {ahead.total_seconds():+.3f} s ahead of MongoDB's"
    remedy = "let both keep time by NTP: webhook signatures, session tokens and retention go by the clock"
    if abs(ahead) > CLOCK_PROBLEM:
        return [problem("clocks", text, remedy)]
    if abs(ahead) > CLOCK_WARNING:
        return [warning("clocks", text, remedy)]
    return [good("clocks", text)]


async def _rights(mongo: Mongo, service: str | None) -> Iterator[Finding]:
    status = (await mongo.state.command("connectionStatus", showPrivileges=True))["authInfo"]
    if not status["authenticatedUsers"]:
        return iter(
            [
                warning(
                    "rights",
                    "MongoDB asks nobody who they are: whoever reaches it may read and change everything",
                    "start it with --auth and a keyfile, and make users by `python -m deploy.mongodb_roles`",
                )
            ]
        )
    if service is None:
        return iter([good("rights", "MongoDB asks for a login; say --service to hold the user's rights against it")])
    missing = missing_rights(service, status["authenticatedUserPrivileges"], mongo.state.name, mongo.target.name)
    if missing:
        return iter(
            [
                problem(
                    "rights",
                    f"the user lacks what {service} does: {'; '.join(missing[:5])}"
                    + (f"; {len(missing) - 5} more" if len(missing) > 5 else ""),
                    "make its role anew: `python -m deploy.mongodb_roles`",
                )
            ]
        )
    roles = {role["role"] for role in status["authenticatedUserRoles"]}
    if wide := roles & {"root", "dbOwner", "readWriteAnyDatabase", "__system"}:
        return iter(
            [
                warning(
                    "rights",
                    f"the user has the role {', '.join(sorted(wide))}, which may do far more than {service} does",
                    "give it the role of its own that `python -m deploy.mongodb_roles` makes",
                )
            ]
        )
    return iter([good("rights", f"the user may do what {service} does")])


async def _indexes(mongo: Mongo) -> list[Finding]:
    declared = {
        collection: {str(each.document["name"]): list(each.document["key"].items()) for each in indexes}
        for collection, indexes in {**declared_indexes(), **FILE_INDEXES}.items()
    }
    found: list[Finding] = []
    count = 0
    for collection, indexes in declared.items():
        there = await mongo.state[collection].index_information()
        for name, key in indexes.items():
            count += 1
            if name not in there:
                found.append(problem("indexes", f"{collection} lacks the index {name}", PROVISION))
            elif [(field, order) for field, order in there[name]["key"]] != key:
                found.append(
                    problem(
                        "indexes",
                        f"the index {name} of {collection} has other fields than this release declares",
                        f"drop it, then {PROVISION}",
                    )
                )
    return found or [good("indexes", f"all {count} are there as they are declared")]


def declared_indexes() -> dict[str, Sequence[IndexModel]]:
    """The indexes of each collection, as its document declares them."""
    return {
        collection_of(model): [
            each if isinstance(each, IndexModel) else IndexModel(each)
            for each in getattr(model.Settings, "indexes", ())  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType] - of every subclass
        ]
        for model in DOCUMENTS
    }


async def _migrations(mongo: Mongo) -> list[Finding]:
    made = await made_migrations(mongo)
    missing = [each for each in MIGRATIONS if made.get(each.name, {}).get("finished_at") is None]
    known = {each.name for each in MIGRATIONS}
    found = [
        warning("migrations", f"{each.name} waits until no process of the release before is left",
                "when that is so: `python -m deploy.migrations --finish`")
        if each.waits
        else problem("migrations", f"{each.name} is not made", PROVISION)
        for each in missing
    ]  # fmt: skip
    found += [
        warning("migrations", f"{name} was made by a newer release than this one", "let all processes run that release")
        for name in sorted(made.keys() - known)
    ]
    return found or [good("migrations", f"all {len(MIGRATIONS)} are made")]


async def _secrets(mongo: Mongo, secret_key: SecretStr | None) -> list[Finding]:
    if secret_key is None:
        return [
            warning(
                "keys",
                "ROWDOCK_SECRET_KEY is not set here, so nobody knows whether stored secrets can be read",
                "run the doctor with the environment of the gateway or of webhooks",
            )
        ]
    try:
        keys = SecretKeys(secret_key.get_secret_value())
    except ValueError:
        return [
            problem(
                "keys",
                "ROWDOCK_SECRET_KEY is no Fernet key, nor several separated by commas",
                "take the one that was in use; a new one is 32 random bytes in URL-safe base64",
            )
        ]
    resealing, found = Resealing(mongo, keys), list[Finding]()
    for collection in SEALED_DOCUMENTS:
        found += await _allowed("keys", _secrets_of(resealing, collection))
    return found


async def _secrets_of(resealing: Resealing, collection: str) -> Iterator[Finding]:
    use = await resealing.look(collection, MOST_SECRET_BYTES)
    return iter(secret_findings(collection, use))


def secret_findings(collection: str, use: KeyUse) -> list[Finding]:
    """Whether the secrets of a collection can be decrypted, and no more keys are kept for them than are needed."""
    count = use.current + use.outdated + use.unreadable
    of_all = f"{'the first ' if use.more else ''}{count} secrets in {collection}"
    found: list[Finding] = []
    if use.unreadable:
        found.append(
            problem(
                "keys",
                f"{use.unreadable} of {of_all} cannot be decrypted, such as those of {', '.join(use.examples)}",
                "bring back the ROWDOCK_SECRET_KEY under which they were stored, behind the one in use and a comma, or "
                "give new secrets",
            )
        )
    if use.outdated:
        found.append(
            warning(
                "keys",
                f"{use.outdated} of {of_all} are encrypted with an earlier key",
                "run `python -m services.gateway.admin secrets renew`, then leave the earlier key out",
            )
        )
    return found or [good("keys", f"{of_all} can be decrypted with the first key")]


async def _disk(mongo: Mongo) -> list[Finding]:
    stats: Mapping[str, Any] = await mongo.state.command("dbStats")
    return [disk_room(int(stats.get("fsUsedSize", 0)), int(stats.get("fsTotalSize", 0)))]


def disk_room(used: int, total: int) -> Finding:
    """Whether so much of a disk, in bytes, is too much."""
    if not total:
        return warning("disk", "MongoDB does not tell how full its disk is", "look yourself")
    share = used / total
    text = f"the disk of MongoDB is {share:.0%} full, {(total - used) / 1024**3:.1f} GiB are free"
    remedy = "add room, or keep less: ROWDOCK_KEEP_FILES_DAYS, ROWDOCK_KEEP_RUNS_DAYS"
    if share > DISK_PROBLEM:
        return problem("disk", text, remedy)
    if share > DISK_WARNING:
        return warning("disk", text, remedy)
    return good("disk", text)


async def _processes(mongo: Mongo) -> list[Finding]:
    now = (await mongo.state.command("hello"))["localTime"].replace(tzinfo=UTC)
    told = [ProcessDocument.read(each) async for each in mongo.state[ProcessDocument.Settings.name].find()]
    living = [each for each in told if now - each.seen_at < SILENT]
    return [*_silent(told, living), *_releases(living), *_clocks(living)]


def _silent(told: Sequence[ProcessDocument], living: Sequence[ProcessDocument]) -> Iterator[Finding]:
    at_work = {each.service for each in living}
    for each in told:
        if each not in living and each.service not in at_work:
            yield problem(
                "processes",
                f"{each.instance} fell silent at {each.seen_at:%Y-%m-%d %H:%M} UTC, and no other {each.service} works",
                f"start a {each.service}, or look in its log why it ended",
            )
    if living:
        yield good("processes", f"{len(living)} at work: {', '.join(sorted(at_work))}")


def _releases(living: Sequence[ProcessDocument]) -> Iterator[Finding]:
    releases = sorted({each.version for each in living})
    if len(releases) > 1:
        yield warning(
            "releases",
            f"processes of {' and '.join(releases)} work side by side",
            "that is meant for an upgrade; replace the rest, then `python -m deploy.migrations --finish`",
        )


def _clocks(living: Sequence[ProcessDocument]) -> Iterator[Finding]:
    for each in living:
        if abs(each.clock_ahead_ms) > CLOCK_WARNING.total_seconds() * 1000:
            yield warning(
                "clocks",
                f"{each.instance} is {each.clock_ahead_ms / 1000:+.1f} s ahead of MongoDB's",
                "let its machine keep time by NTP",
            )
