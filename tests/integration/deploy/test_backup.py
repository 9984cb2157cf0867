"""What is saved comes back as it was, or not at all."""

from pathlib import Path
from uuid import uuid4

import pytest
from bson import Decimal128, ObjectId
from pydantic import SecretStr

from deploy.backup import BackupError, restore, save
from libs.storage.client import Document, Mongo, connect
from libs.storage.settings import MongoSettings

pytestmark = pytest.mark.servers


async def contents(mongo: Mongo) -> dict[str, tuple[list[Document], dict[str, Document]]]:
    """Documents and indexes of every collection that a backup is of."""
    found: dict[str, tuple[list[Document], dict[str, Document]]] = {}
    for role, database in (("state", mongo.state), ("target", mongo.target)):
        for name in await database.list_collection_names():
            if name != "processes" and not name.startswith("system."):
                documents = await database[name].find().sort("_id", 1).to_list()
                found[f"{role}.{name}"] = (documents, dict(await database[name].index_information()))
    return found


async def test_both_databases_come_back_with_their_indexes(mongo: Mongo, mongodb_uri: str, tmp_path: Path) -> None:
    await mongo.state["runs"].insert_many(
        [{"_id": str(ObjectId()), "status": "executing", "n": n} for n in range(2_500)]
    )
    await mongo.state["processes"].insert_one({"_id": "writer/1"})
    await mongo.target["products"].insert_many(
        [{"_id": ObjectId(), "price": Decimal128("1.10"), "raw": b"\x00\xff", "none": None} for _ in range(10)]
    )
    await mongo.target["products"].create_index(
        [("tenant_id", 1)], name="mine", partialFilterExpression={"a": {"$gt": 1}}
    )
    parts = await save(mongo, tmp_path / "backup")
    assert {(part.collection, part.documents) for part in parts} >= {("runs", 2_500), ("products", 10)}
    with pytest.raises(BackupError, match="not empty"):
        await save(mongo, tmp_path / "backup")
    with pytest.raises(BackupError, match="empty one"):
        await restore(mongo, tmp_path / "backup")
    name = f"t{uuid4().hex[:12]}"
    settings = MongoSettings(mongodb=SecretStr(mongodb_uri), database=name, target_database=f"{name}_data")
    again = await connect(settings)
    await restore(again, tmp_path / "backup")
    assert await contents(again) == await contents(mongo)
    assert "processes" not in await again.state.list_collection_names()
    for database in (again.state, again.target):
        await again.client.drop_database(database)
    damaged = tmp_path / "backup" / "state" / "runs.bson.gz"
    damaged.write_bytes(damaged.read_bytes()[:-200])
    with pytest.raises(BackupError, match="state/runs is not what was saved"):
        await restore(again, tmp_path / "backup")
    assert await again.state.list_collection_names() == []
    (tmp_path / "backup" / "manifest.json").unlink()
    with pytest.raises(BackupError, match=r"no manifest\.json"):
        await restore(again, tmp_path / "backup")
    await again.client.close()


async def test_a_backup_is_of_one_moment(mongo: Mongo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written while it is made is not in it, in whichever collection."""
    await mongo.state["runs"].insert_one({"_id": "before"})
    await mongo.target["late"].insert_one({"_id": "before"})
    original = type(mongo.state).list_collection_names

    async def late(*arguments: object, **options: object) -> list[str]:
        await mongo.state["runs"].insert_one({"_id": uuid4().hex})
        await mongo.target["late"].insert_one({"_id": uuid4().hex})
        return await original(*arguments, **options)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(type(mongo.state), "list_collection_names", late)
    parts = {part.collection: part.documents for part in await save(mongo, tmp_path / "backup")}
    assert (parts["runs"], parts["late"]) == (1, 1)
