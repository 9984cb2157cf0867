"""The ``mapping`` of an upload: what is followed, and every reason for which one is refused."""

import json
from typing import Any

import pytest

from libs.contracts.templates import Template
from services.gateway.domain.column_mapping import InvalidMappingError, read_mapping

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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("{}", [], id="empty"),
        pytest.param('{"E-mail": "email"}', [("E-mail", "email")], id="one of several fields"),
        pytest.param('{"B": "full_name", "A": "email"}', [("B", "full_name"), ("A", "email")], id="in its order"),
        pytest.param('{"Notes": null, "Tel": null}', [("Notes", None), ("Tel", None)], id="not wanted"),
        pytest.param('{"$where": "email", "a.b": null}', [("$where", "email"), ("a.b", None)], id="no key of MongoDB"),
        pytest.param('{"__proto__": "email"}', [("__proto__", "email")], id="no key of JavaScript"),
        pytest.param('{" E-mail ": "email"}', [(" E-mail ", "email")], id="spaces are kept"),
        pytest.param('{"名前": "full_name"}', [("名前", "full_name")], id="any script"),
        pytest.param('\n{"\\u00e9": "email"}\t', [("é", "email")], id="escaped"),
        pytest.param(
            json.dumps({f"c{n}": None for n in range(3_000)}), [(f"c{n}", None) for n in range(3_000)], id="3000"
        ),
    ],
)
def test_a_mapping_is_pairs_of_header_and_field(text: str, expected: list[tuple[str, str | None]]) -> None:
    assert read_mapping(text, TEMPLATE) == expected


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        pytest.param("", [("body.mapping", "INVALID_JSON")], id="nothing"),
        pytest.param("{", [("body.mapping", "INVALID_JSON")], id="cut"),
        pytest.param('{"a": NaN}', [("body.mapping.a", "INVALID_JSON")], id="NaN"),
        pytest.param("[" * 60_000, [("body.mapping", "INVALID_JSON")], id="deep"),
        pytest.param("9" * 6_000, [("body.mapping", "INVALID_JSON")], id="5,000 digits"),
        pytest.param('[["E-mail", "email"]]', [("body.mapping", "INVALID")], id="list"),
        pytest.param("[]", [("body.mapping", "INVALID")], id="empty list"),
        pytest.param("null", [("body.mapping", "INVALID")], id="null"),
        pytest.param('"email"', [("body.mapping", "INVALID")], id="text"),
        pytest.param('{"A": "phone"}', [("body.mapping['A']", "UNKNOWN_FIELD")], id="unknown field"),
        pytest.param('{"A": "Email"}', [("body.mapping['A']", "UNKNOWN_FIELD")], id="fields have one spelling"),
        pytest.param('{"A": "email", "B": "email"}', [("body.mapping['B']", "CONFLICT")], id="two headers, one field"),
        pytest.param('{"A": "email", "A": null}', [("body.mapping.A", "INVALID_JSON")], id="one header twice"),
        pytest.param('{"A": "source"}', [("body.mapping['A']", "CONFLICT")], id="constant"),
        pytest.param('{"A": 1}', [("body.mapping['A']", "INVALID")], id="number"),
        pytest.param('{"A": ["email"]}', [("body.mapping['A']", "INVALID")], id="nested list"),
        pytest.param('{"A": {"email": 1}}', [("body.mapping['A']", "INVALID")], id="nested object"),
        pytest.param('{"": "email"}', [("body.mapping['']", "INVALID")], id="no header"),
        pytest.param('{"\\ud800": "email"}', [("body.mapping", "INVALID_JSON")], id="half a character"),
        pytest.param('{"a\\u0000": null}', [("body.mapping['a\\x00']", "INVALID")], id="NUL"),
        pytest.param(
            '{"A": "phone", "B": "email", "C": "email", "D": 2, "": null}',
            [
                ("body.mapping['A']", "UNKNOWN_FIELD"),
                ("body.mapping['C']", "CONFLICT"),
                ("body.mapping['D']", "INVALID"),
                ("body.mapping['']", "INVALID"),
            ],
            id="everything at once",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused_with_every_reason(text: str, problems: list[Any]) -> None:
    with pytest.raises(InvalidMappingError) as refused:
        read_mapping(text, TEMPLATE)
    assert [(problem.location, problem.code) for problem in refused.value.problems] == problems
    assert all(problem.message for problem in refused.value.problems)
