"""Which templates ask for a key: the query finds those of which the model says so."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.contracts.templates import Template, asked_keys, combination
from libs.storage.client import Mongo
from services.gateway.stores.target import asking_for

pytestmark = pytest.mark.servers

names = st.sampled_from("abc")


def rules(name: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rules of a field, some of them about further fields."""
    others = st.lists(st.sampled_from([other for other in "abc" if other != name]), max_size=2, unique=True)
    unique = st.fixed_dictionaries({"type": st.just("unique"), "against_target": st.booleans(), "fields": others})
    return st.lists(st.one_of(st.just({"type": "required"}), unique), max_size=2)


templates = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["append", "upsert", "update"]),
        "upsert_key": names,
        "fields": st.tuples(*(st.fixed_dictionaries({"name": st.just(name), "rules": rules(name)}) for name in "abc")),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stored=templates, wanted=st.lists(names, min_size=1, max_size=3))
async def test_the_query_and_the_model_agree(mongo: Mongo, stored: dict[str, Any], wanted: list[str]) -> None:
    template = Template.model_validate({"name": "t", "target_resource": "r", **stored})
    key = combination(*wanted)
    await mongo.state["asking"].delete_many({})
    await mongo.state["asking"].insert_one({"template": template.model_dump(mode="json")})
    found = await mongo.state["asking"].find_one(asking_for(key)) is not None
    assert found == (key in {asked.names for asked in asked_keys(template)})
