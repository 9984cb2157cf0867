"""The mapping of an upload: what is followed, and every reason for which one is refused."""

from typing import Any

import pytest

from libs.contracts.templates import Template
from services.gateway.errors import InvalidInputError
from services.gateway.uploads.column_mapping import column_mapping

TEMPLATE = Template.model_validate(
    {
        "name": "people",
        "target_resource": "people",
        "fields": [
            {"name": "email", "type": "email"},
            {"name": "full_name"},
            {"name": "source", "transforms": [{"type": "constant", "value": "upload"}]},
        ],
    }
)


Pairs = list[tuple[str, Any]]


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param([], id="empty"),
        pytest.param([("E-mail", "email")], id="one of several fields"),
        pytest.param([("B", "full_name"), ("A", "email")], id="in its order"),
        pytest.param([("Notes", None), ("Tel", None)], id="not wanted"),
        pytest.param([("$where", "email"), ("a.b", None)], id="no key of MongoDB"),
        pytest.param([("__proto__", "email")], id="no key of JavaScript"),
        pytest.param([(" E-mail ", "email")], id="spaces are kept"),
        pytest.param([("名前", "full_name")], id="any script"),
        pytest.param([(f"c{n}", None) for n in range(3_000)], id="3000"),
    ],
)
def test_a_mapping_is_pairs_of_header_and_field(pairs: Pairs) -> None:
    assert column_mapping(dict(pairs), TEMPLATE) == pairs


@pytest.mark.parametrize(
    ("pairs", "problems"),
    [
        pytest.param([("A", "phone")], [("mapping['A']", "UNKNOWN_FIELD")], id="unknown field"),
        pytest.param([("A", "Email")], [("mapping['A']", "UNKNOWN_FIELD")], id="fields have one spelling"),
        pytest.param([("A", "email"), ("B", "email")], [("mapping['B']", "CONFLICT")], id="two headers, one field"),
        pytest.param([("A", "source")], [("mapping['A']", "CONFLICT")], id="constant"),
        pytest.param([("A", 1)], [("mapping['A']", "INVALID")], id="number"),
        pytest.param([("A", ["email"])], [("mapping['A']", "INVALID")], id="nested list"),
        pytest.param([("A", {"email": 1})], [("mapping['A']", "INVALID")], id="nested object"),
        pytest.param([("", "email")], [("mapping['']", "INVALID")], id="no header"),
        pytest.param([("a\0", None)], [("mapping['a\\x00']", "INVALID")], id="NUL"),
        pytest.param(
            [("A", "phone"), ("B", "email"), ("C", "email"), ("D", 2), ("", None)],
            [
                ("mapping['A']", "UNKNOWN_FIELD"),
                ("mapping['C']", "CONFLICT"),
                ("mapping['D']", "INVALID"),
                ("mapping['']", "INVALID"),
            ],
            id="everything at once",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused_with_every_reason(pairs: Pairs, problems: list[Any]) -> None:
    with pytest.raises(InvalidInputError) as refused:
        column_mapping(dict(pairs), TEMPLATE)
    assert [(problem.location, problem.code) for problem in refused.value.problems] == problems
    assert all(problem.message for problem in refused.value.problems)
