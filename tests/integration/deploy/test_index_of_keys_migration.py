"""The index of API keys by their organization alone goes."""

import pytest

from deploy.migrations import MIGRATIONS, m0006_index_of_keys
from deploy.migrations.runner import forget, made_migrations, make_migrations
from libs.storage.client import Mongo

pytestmark = pytest.mark.servers
NAME = "0006_index_of_keys"


async def test_the_old_index_is_dropped_and_no_other(mongo: Mongo) -> None:
    (migration,) = (each for each in MIGRATIONS if each.name == NAME)
    keys = mongo.state["api_keys"]
    before = await keys.index_information()
    assert m0006_index_of_keys.OLD not in before, "provisioning makes it no more"
    assert "tenant_keys" in before
    await keys.create_index([("tenant_id", 1)], name=m0006_index_of_keys.OLD)
    for changed in (1, 0):
        await forget(mongo, NAME)
        assert await make_migrations(mongo, [migration]) == [NAME]
        assert (await made_migrations(mongo))[NAME]["changed"] == changed
        assert await keys.index_information() == before
