"""Users of MongoDB, each with no more rights than its service needs: ``python -m deploy.mongodb_roles``.

Reads ``ROWDOCK_MONGODB`` of a user who may make users, ``ROWDOCK_DATABASE``, ``ROWDOCK_TARGET_DATABASE``, and the
password of each from a variable that begins with ``ROWDOCK_PASSWORD`` and ends with the name of its service in
capitals, or with that of the provision. May be repeated: roles and passwords are then as they are told. Users are made
in the database ``admin``, with the names ``rowdock-gateway`` and so on.
"""

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beanie import Document as BeanieDocument
from pymongo.errors import OperationFailure

from deploy.migrations.runner import COLLECTION as MIGRATIONS_MADE
from libs.storage.client import Document, Mongo, connect
from libs.storage.documents import (
    DOCUMENTS,
    BatchDocument,
    BatchPayload,
    BulkCorrectionDocument,
    DeadLetter,
    OutboxEntry,
    PreviewDocument,
    ProcessDocument,
    RejectedRecord,
    RunDocument,
    TargetKeyDocument,
    UndoEntry,
    WebhookDelivery,
    WebhookEndpoint,
)
from libs.storage.files import BUCKET
from libs.storage.settings import MongoSettings

READ = ("find",)
WRITE = ("find", "insert", "update", "remove")
ALTER = ("createCollection", "createIndex", "listIndexes", "collStats")


def collection_of(model: type[BeanieDocument]) -> str:
    """The collection of a document."""
    name: str = model.Settings.name  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType] - of every subclass
    return name


FILES = (f"{BUCKET}.files", f"{BUCKET}.chunks")
STATE = tuple(collection_of(model) for model in DOCUMENTS)
"""Every collection of Rowdock's own but those of files."""
LEDGER = tuple(
    model.Settings.name
    for model in (
        RunDocument, BatchDocument, BatchPayload, RejectedRecord, UndoEntry, PreviewDocument, BulkCorrectionDocument,
        OutboxEntry, DeadLetter, WebhookDelivery, ProcessDocument,
    )
)  # fmt: skip
"""What every service changes through ``libs.ledger`` and ``libs.messaging``. Keys, organizations, people, templates and
remembered answers are not among it: only the gateway reads and writes those."""

Rights = Mapping[str, Sequence[str]]
"""Actions by collection; those of ``""`` hold for each collection of the database."""

OF_STATE: Mapping[str, Rights] = {
    "gateway": {
        **dict.fromkeys(STATE, WRITE),
        **dict.fromkeys(FILES, WRITE),
        MIGRATIONS_MADE: READ,
        "": (*ALTER, "dbStats", "listCollections"),
    },
    "parser": {
        **dict.fromkeys(LEDGER, WRITE),
        FILES[0]: ("find", "update"),
        FILES[1]: READ,
    },
    "validator": {**dict.fromkeys(LEDGER, WRITE), TargetKeyDocument.Settings.name: READ},
    "writer": {**dict.fromkeys(LEDGER, WRITE), **dict.fromkeys(FILES, READ), TargetKeyDocument.Settings.name: WRITE},
    "webhooks": {**dict.fromkeys(LEDGER, WRITE), WebhookEndpoint.Settings.name: ("find", "update")},
}
"""Which service reads and writes what of Rowdock's own."""
OF_TARGET: Mapping[str, Rights] = {
    "gateway": {"": (*WRITE, *ALTER, "dbStats", "listCollections")},
    "parser": {},
    "validator": {"": READ},
    "writer": {"": (*WRITE, *ALTER, "listCollections")},
    "webhooks": {"": READ},
}
"""Which service reads and writes the imported records."""
SERVICES = tuple(OF_STATE)
LOGS_IN_AS: Mapping[str, str] = {"requests": "gateway", "sources": "gateway"}
"""Whose user the gateway's other processes have: they write what it writes."""
PROVISION = "provision"
"""The user of ``deploy.provision``: it changes what is stored and makes indexes, in both databases."""


def role_of(service: str) -> str:
    """Name of the role, and of the user who has it."""
    return f"rowdock-{LOGS_IN_AS.get(service, service)}"


def privileges_of(service: str, state: str, target: str) -> list[Document]:
    """The rights of a service as MongoDB takes them, for databases of those names."""
    return [*_privileges(state, OF_STATE[service]), *_privileges(target, OF_TARGET[service])]


def missing_rights(service: str, have: Sequence[Mapping[str, Any]], state: str, target: str) -> list[str]:
    """What a service needs and a user has not, such as ``update on rowdock.runs``.

    Args:
        have: privileges as ``connectionStatus`` tells them.
    """
    return [
        f"{action} on {wanted['resource']['db']}.{wanted['resource']['collection'] or '*'}"
        for wanted in privileges_of(service, state, target)
        for action in wanted["actions"]
        if not any(action in each["actions"] and _covers(each["resource"], wanted["resource"]) for each in have)
    ]


def _covers(wide: Mapping[str, Any], narrow: Mapping[str, str]) -> bool:
    if wide.get("anyResource"):
        return True
    return all(wide.get(part) in ("", narrow[part]) for part in ("db", "collection"))


def _privileges(database: str, rights: Rights) -> Iterator[Document]:
    for collection, actions in rights.items():
        yield {"resource": {"db": database, "collection": collection}, "actions": list(actions)}


async def make_users(mongo: Mongo, passwords: Mapping[str, str]) -> list[str]:
    """Make the role and the user of each service, or bring them to what they are here; their names.

    Raises:
        pymongo.errors.OperationFailure: the user of the connection may not do that.
    """
    admin = mongo.client.admin
    made: list[str] = []
    databases = (mongo.state.name, mongo.target.name)
    for service, password in passwords.items():
        name = role_of(service)
        role: Document = {"privileges": [], "roles": []}
        if service == PROVISION:
            role["roles"] = [{"role": each, "db": db} for db in databases for each in ("readWrite", "dbAdmin")]
        else:
            role["privileges"] = privileges_of(service, *databases)
        known = (await admin.command("rolesInfo", name))["roles"]
        await admin.command("updateRole" if known else "createRole", name, **role)
        user = {"pwd": password, "roles": [{"role": name, "db": "admin"}]}
        known = (await admin.command("usersInfo", name))["users"]
        await admin.command("updateUser" if known else "createUser", name, **user)
        made.append(name)
    return made


def passwords_in(environment: Mapping[str, str]) -> dict[str, str]:
    """Passwords by service.

    Raises:
        LookupError: one is missing; names its variable.
    """
    variables = {service: f"ROWDOCK_PASSWORD_{service.upper()}" for service in (*SERVICES, PROVISION)}
    missing = [variable for variable in variables.values() if not environment.get(variable)]
    if missing:
        raise LookupError(f"set {', '.join(missing)}: the passwords that the services log in with")
    return {service: environment[variable] for service, variable in variables.items()}


async def main() -> int:
    """Make them; the exit code is 1 where that cannot be done."""
    try:
        passwords = passwords_in(os.environ)
        mongo = await connect(MongoSettings.model_validate({}))
        try:
            print(f"users with their roles: {', '.join(await make_users(mongo, passwords))}")
        finally:
            await mongo.client.close()
    except (LookupError, OperationFailure) as error:
        print(f"python -m deploy.mongodb_roles: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
