"""Which organization is below which: made and changed by commands, never a ring, never too deep or too large."""

import asyncio
import json
import os
import sys
from itertools import pairwise

import pytest

from libs.ledger import Ledger
from libs.storage.client import Mongo
from libs.storage.settings import MongoSettings
from services.gateway.access.organizations import MAX_LEVELS, OrganizationTree
from services.gateway.errors import ConflictError, GatewayError, NotFoundError
from tests.integration.gateway.conftest import Organization
from tests.integration.gateway.families import NewOrganization, family
from tests.integration.gateway.test_bootstrap import run_bootstrap
from tests.integration.gateway.test_organization_deletion import deletion

pytestmark = pytest.mark.servers


async def test_what_is_below_and_above(mongo: Mongo, new_organization: NewOrganization) -> None:
    made, tree = await family(mongo, new_organization), OrganizationTree(mongo)
    assert await tree.below(made.parent.id) == (*sorted([made.child.id, made.sibling.id]), made.grandchild.id)
    assert await tree.above(made.grandchild.id) == (made.child.id, made.parent.id)
    assert await tree.below(made.grandchild.id) == await tree.above(made.parent.id) == ()
    await tree.move(made.child.id, None)
    assert await tree.below(made.parent.id) == (made.sibling.id,)
    assert await tree.above(made.grandchild.id) == (made.child.id,)
    stored = await mongo.state["organizations"].find_one({"_id": made.child.id})
    assert stored is not None
    assert "parent_id" not in stored


async def test_it_is_read_by_its_index(mongo: Mongo, new_organization: NewOrganization) -> None:
    """However many organizations there are beside those of the tree."""
    made, tree = await family(mongo, new_organization), OrganizationTree(mongo)
    organizations = mongo.state["organizations"]
    await organizations.insert_many([{"_id": f"{made.parent.id}-{number}", "name": "x"} for number in range(2_000)])
    await mongo.state.command("profile", 2)
    try:
        assert len(await tree.below(made.parent.id)) == 3
        assert len(await tree.above(made.grandchild.id)) == 2
    finally:
        await mongo.state.command("profile", 0)
    profile = mongo.state["system.profile"].find({"ns": organizations.full_name})
    ids = {each.id for each in (made.parent, made.child, made.sibling, made.grandchild)}
    looks = [each async for each in profile if any(one in str(each["command"].get("filter")) for one in ids)]
    assert len(looks) >= 6
    assert max(each["docsExamined"] for each in looks) <= 3
    await organizations.delete_many({"name": "x"})


async def test_no_organization_gets_below_itself(mongo: Mongo, new_organization: NewOrganization) -> None:
    made, tree = await family(mongo, new_organization), OrganizationTree(mongo)
    for parent in (made.parent, made.child, made.grandchild):
        with pytest.raises(ConflictError, match="ORGANIZATION_BELOW_ITSELF"):
            await tree.move(made.parent.id, parent.id)
    for known, unknown in ((made.parent.id, "f" * 24), ("f" * 24, made.parent.id)):
        with pytest.raises(NotFoundError):
            await tree.move(known, unknown)
    assert await tree.above(made.parent.id) == ()


async def test_no_ring_is_made_by_changes_at_the_same_time(mongo: Mongo, new_organization: NewOrganization) -> None:
    """Three pairs, each of which is to go below the next: two of the three changes are all that there is room for."""
    tree = OrganizationTree(mongo)
    for _ in range(5):
        organizations = [await new_organization() for _ in range(6)]
        uppers, lowers = organizations[::2], organizations[1::2]
        for upper, lower in zip(uppers, lowers, strict=True):
            await tree.move(lower.id, upper.id)
        changes = [tree.move(uppers[at].id, lowers[(at + 1) % 3].id) for at in range(3)]
        ended = await asyncio.gather(*changes, return_exceptions=True)
        refused = [each for each in ended if each is not None]
        assert refused
        assert all(isinstance(each, ConflictError) for each in refused)
        for organization in organizations:
            assert organization.id not in await tree.above(organization.id)


async def test_levels_and_numbers_are_bounded(mongo: Mongo, new_organization: NewOrganization) -> None:
    tree = OrganizationTree(mongo, limit=MAX_LEVELS)
    line = [await new_organization() for _ in range(MAX_LEVELS)]
    for above, below in pairwise(line):
        await tree.move(below.id, above.id)
    one, other = [await new_organization() for _ in range(2)]
    with pytest.raises(ConflictError, match="TOO_MANY_LEVELS"):
        await tree.move(one.id, line[-1].id)
    with pytest.raises(ConflictError, match="TOO_MANY_LEVELS"):
        await tree.move(line[0].id, one.id)
    await tree.move(one.id, line[0].id)
    with pytest.raises(ConflictError, match="TOO_MANY_SUB_ORGANIZATIONS"):
        await tree.move(other.id, line[0].id)
    await tree.move(one.id, line[1].id)  # moved within the tree it makes it no larger
    await tree.move(one.id, None)
    await tree.move(other.id, line[0].id)


async def test_bootstrap_places_a_new_organization(
    acme: Organization, mongo: Mongo, mongo_settings: MongoSettings
) -> None:
    code, printed, _ = await run_bootstrap(mongo_settings, "--organization", "Sub", "--parent", acme.id)
    assert code == 0
    made = json.loads(printed)
    tree = OrganizationTree(mongo)
    assert await tree.below(acme.id) == (made["organization_id"],)
    known = ("--organization", "Sub", "--api-key", made["api_key"], "--parent")
    assert (await run_bootstrap(mongo_settings, *known, acme.id))[:2] == (0, printed)
    code, _, said = await run_bootstrap(mongo_settings, *known, "f" * 24)
    assert (code, "below " + acme.id in said) == (1, True)
    organizations = await mongo.state["organizations"].count_documents({})
    code, _, said = await run_bootstrap(mongo_settings, "--organization", "Lost", "--parent", "f" * 24)
    assert (code, "ffff" in said) == (1, True)
    assert await mongo.state["organizations"].count_documents({}) == organizations


async def test_the_command_places_and_tells(
    mongo: Mongo, mongo_settings: MongoSettings, new_organization: NewOrganization
) -> None:
    one, other = [await new_organization() for _ in range(2)]
    tree = OrganizationTree(mongo)

    async def command(*arguments: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.gateway.place_organization", *arguments,
            env={
                **os.environ,
                "ROWDOCK_MONGODB": mongo_settings.mongodb.get_secret_value(),
                "ROWDOCK_DATABASE": mongo_settings.database,
                "ROWDOCK_MAX_SUB_ORGANIZATIONS": "1",
            },
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, errors = await process.communicate()
        return process.returncode or 0, out.decode(), errors.decode()

    code, printed, _ = await command(one.id, "--parent", other.id)
    assert (code, json.loads(printed)) == (0, {"organization_id": one.id, "parent_id": other.id, "below": []})
    code, printed, _ = await command(other.id)
    assert (code, json.loads(printed)) == (0, {"organization_id": other.id, "parent_id": None, "below": [one.id]})
    third = await new_organization()
    code, printed, said = await command(third.id, "--parent", other.id)
    assert (code, printed, "1 is the most" in said) == (1, "", True)
    code, printed, _ = await command(one.id, "--no-parent")
    assert (code, json.loads(printed)["parent_id"]) == (0, None)
    assert await tree.below(other.id) == ()


async def test_an_organization_with_others_below_it_is_not_deleted(
    mongo: Mongo, ledger: Ledger, new_organization: NewOrganization
) -> None:
    made, tree = await family(mongo, new_organization), OrganizationTree(mongo)
    work = deletion(mongo, ledger)
    with pytest.raises(ConflictError, match="ORGANIZATION_HAS_CHILDREN"):
        await work.request(made.child.id)
    assert (await made.child.http.get("/imports/runs")).status_code == 200
    await work.request(made.grandchild.id)
    with pytest.raises(NotFoundError):
        await tree.move(made.sibling.id, made.grandchild.id)
    await work.request(made.child.id)
    assert await tree.below(made.parent.id) == (made.sibling.id,)


async def test_none_is_placed_below_one_that_goes_at_the_same_moment(
    mongo: Mongo, ledger: Ledger, new_organization: NewOrganization
) -> None:
    work, tree = deletion(mongo, ledger), OrganizationTree(mongo)
    for _ in range(5):
        upper, lower = [await new_organization() for _ in range(2)]
        ended = await asyncio.gather(work.request(upper.id), tree.move(lower.id, upper.id), return_exceptions=True)
        assert sum(isinstance(each, GatewayError) for each in ended) == 1, ended
