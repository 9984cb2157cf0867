"""The server's refusal of a record, in words: details as MongoDB 6.0 gives them."""

from typing import Any

import pytest

from services.writer.domain.refusals import MAX_ERRORS, TOO_LARGE, TOO_LARGE_AFTER_UPDATE, refusal_errors

CELL = "CELL-4711"
SETS = {"name", "age", "sub", "list"}


def leaf(operator: str, specified: Any, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    found = {"operatorName": operator, "specifiedAs": {operator: specified}, "consideredValue": CELL}
    return {**found, "reason": "did not match", **more}


def schema(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"operatorName": "$jsonSchema", "schemaRulesNotSatisfied": list(rules)}


def properties(**broken: list[dict[str, Any]]) -> dict[str, Any]:
    found = [{"propertyName": name, "details": details} for name, details in broken.items()]
    return {"operatorName": "properties", "propertiesNotSatisfied": found}


def told(details: dict[str, Any]) -> list[tuple[str | None, str]]:
    """Field and rule of each error."""
    errors = refusal_errors(121, {"errInfo": {"failingDocumentId": 1, "details": details}}, "people", SETS)
    assert {error.code for error in errors} == {"TARGET_SCHEMA"}
    for error in errors:
        assert CELL not in error.message
        assert "'people'" in error.message
    return [(error.field, error.message) for error in errors]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (leaf("enum", ["old", "new"]), "it must be one of 'old', 'new'."),
        (leaf("enum", list(range(12))), "it must be one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more."),
        (leaf("enum", ["x" * 500]), f"it must be one of '{'x' * 199}…."),
        (leaf("bsonType", "int", consideredType="long"), "it must be of the type 'int', and it is written as long."),
        (leaf("minimum", 3), "it must be at least 3."),
        (leaf("maximum", 3), "it must be at most 3."),
        ({**leaf("minimum", 3), "specifiedAs": {"minimum": 3, "exclusiveMinimum": True}}, "it must be more than 3."),
        (leaf("minLength", 3), "it must have at least 3 characters."),
        (leaf("maxLength", 3), "it must have at most 3 characters."),
        (leaf("pattern", "^a"), "it must have the form of the pattern '^a'."),
        (leaf("multipleOf", 5), "it must be a multiple of 5."),
        (leaf("uniqueItems", True), "the rule 'uniqueItems' must hold."),
        ({"operatorName": "anyOf", "schemasNotSatisfied": []}, "the rule 'anyOf' must hold."),
    ],
)
def test_rules_about_one_field(rule: dict[str, Any], words: str) -> None:
    ((field, message),) = told(schema(properties(name=[rule])))
    assert field == "name"
    assert f"a rule of its own for 'name', and this row breaks it: {words} Correct the row" in message


def test_every_field_has_an_error_of_its_own() -> None:
    inner = properties(b=[leaf("maxLength", 3)])
    items = {"operatorName": "items", "itemIndex": 0, "details": [leaf("bsonType", "string", consideredType="int")]}
    more = {"operatorName": "additionalProperties", "specifiedAs": {}, "additionalProperties": ["c"]}
    broken = told(
        schema(
            {"operatorName": "required", "specifiedAs": {}, "missingProperties": ["born", "age"]},
            properties(age=[leaf("minimum", 3), leaf("bsonType", "int", consideredType="string")]),
            properties(sub=[inner, more], list=[items]),
        )
    )
    assert [(field, message.split("for ")[1].split(",")[0]) for field, message in broken] == [
        (None, "'born'"),
        ("age", "'age'"),
        ("sub", "'sub.b'"),
        ("sub", "'sub.c'"),
        ("list", "'list'"),
    ]
    assert "it must be there" in broken[0][1]
    assert "it must be there; it must be at least 3; it must be of the type 'int'" in broken[1][1]
    assert "there must be no field of this name" in broken[3][1]


def test_the_words_of_the_schema_itself_come_first() -> None:
    described = {
        "propertyName": "name",
        "description": (words := "a first name and a last name"),
        "details": [leaf("pattern", "x")],
    }
    ((_, message),) = told(schema({"operatorName": "properties", "propertiesNotSatisfied": [described]}))
    assert f"{words}." in message
    assert "pattern" not in message


@pytest.mark.parametrize(
    ("clause", "field", "words"),
    [
        ({**leaf("$lt", 3), "specifiedAs": {"age": {"$lt": 3}}}, "age", "it must be less than 3"),
        ({**leaf("$in", 3), "specifiedAs": {"name": {"$in": ["a", "b"]}}}, "name", "it must be one of 'a', 'b'"),
        ({**leaf("$eq", 3), "specifiedAs": {"name": "a"}}, "name", "it must be equal to 'a'"),
        ({**leaf("$mod", 3), "specifiedAs": {"other": {"$mod": [2, 0]}}}, None, "it must fulfil $mod 2, 0"),
        (
            {"operatorName": "$expr", "specifiedAs": {"$expr": {"$gt": ["$x", "$y"]}}, "expressionResult": False},
            None,
            "a condition over several fields ($expr) must hold",
        ),
        (schema(properties(name=[leaf("enum", ["a"])])), "name", "it must be one of 'a'"),
    ],
)
def test_validators_that_are_queries(clause: dict[str, Any], field: str | None, words: str) -> None:
    for details in (clause, {"operatorName": "$and", "clausesNotSatisfied": [{"index": 0, "details": clause}]}):
        ((about, message),) = told(details)
        assert about == field
        assert words in message


@pytest.mark.parametrize("reason", [{}, {"errInfo": {}}, {"errInfo": {"details": {"reason": "too large"}}}])
def test_a_server_that_does_not_explain(reason: dict[str, Any]) -> None:
    (error,) = refusal_errors(121, reason, "people", SETS)
    assert (error.field, error.code) == (None, "TARGET_SCHEMA")
    assert error.message.startswith("The collection 'people' has rules of its own that refuse this record.")


def test_a_row_has_a_bounded_number_of_errors() -> None:
    many = {f"f{number}": [leaf("minimum", 3)] for number in range(200)}
    assert len(told(schema(properties(**many)))) == MAX_ERRORS


@pytest.mark.parametrize("code", [TOO_LARGE, TOO_LARGE_AFTER_UPDATE])
def test_a_record_that_is_too_large(code: int) -> None:
    (error,) = refusal_errors(code, {"errmsg": CELL}, "people", SETS)
    assert error.code == "RECORD_TOO_LARGE"
    assert "16 MiB" in error.message


@pytest.mark.parametrize(("code", "word"), [(16755, "2dsphere"), (17262, "'language'"), (99_999, "99999")])
def test_another_refusal_names_the_servers_code_and_shows_nothing(code: int, word: str) -> None:
    (error,) = refusal_errors(code, {"errmsg": f"cannot index {CELL}"}, "people", SETS)
    assert error.code == "TARGET_REFUSED"
    assert word in error.message
    assert str(code) in error.message
    assert CELL not in error.message
