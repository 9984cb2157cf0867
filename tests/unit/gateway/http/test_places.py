"""Paths of the model become places of a request."""

import pytest

from services.gateway.errors import ConflictError, Problem
from services.gateway.http.places import Places


def places() -> Places:
    known = Places("body", {"mode": "import_mode", "fields": "field_mapping", "source": ""})
    known.put("fields[1]", "body.field_mapping[4]")
    known.put("fields[1].name", "body.field_mapping[4].target")
    known.put("fields[1].rules", "body.field_mapping[4].validators")
    known.put("fields[1].rules[0]", "body.field_mapping[4].required", whole=True)
    known.put("fields[1].rules[1].pattern", "body.field_mapping[4].validators[0].value")
    return known


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("mode", "body.import_mode"),
        ("source.encoding", "body.encoding"),
        ("source.column_widths[2].width", "body.column_widths[2].width"),
        ("upsert_key", "body.upsert_key"),
        ("default_values.a.b", "body.default_values.a.b"),
        ("fields", "body.field_mapping"),
        ("fields[0].label", "body.field_mapping[0].label"),
        ("fields[1].label", "body.field_mapping[4].label"),
        ("fields[1].name", "body.field_mapping[4].target"),
        ("fields[1].rules", "body.field_mapping[4].validators"),
        ("fields[1].rules[0]", "body.field_mapping[4].required"),
        ("fields[1].rules[0].message", "body.field_mapping[4].required"),
        ("fields[1].rules[1].pattern", "body.field_mapping[4].validators[0].value"),
        ("fields[12].name", "body.field_mapping[12].name"),
        ("mapping['a.b']", "body.mapping['a.b']"),
        ("", "body"),
    ],
)
def test_a_path_is_translated_by_its_longest_known_beginning(path: str, place: str) -> None:
    assert places().of(path) == place


def test_a_model_may_stand_deeper_in_a_request() -> None:
    assert Places("body.template", {"mode": "import_mode"}).of("mode") == "body.template.import_mode"


def test_errors_of_capabilities_are_raised_with_places_of_the_request() -> None:
    problem = Problem("fields[1].rules[1].pattern", "INVALID_PATTERN", "no pattern")
    with pytest.raises(ConflictError) as raised, places().translating():
        raise ConflictError("NO", "it cannot be done", [problem])
    assert (raised.value.code, raised.value.detail) == ("NO", "it cannot be done")
    assert [each.location for each in raised.value.problems] == ["body.field_mapping[4].validators[0].value"]
