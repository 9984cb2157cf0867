"""Messages of libraries in our words."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, cast

import msgspec
import multipart
import pytest
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from libs.contracts.ids import ID_PATTERN
from libs.contracts.templates import ColumnWidth, DateOrder, Rule, SourceFormat, TemplateField, Transform
from services.gateway.http.engine.template_models import EngineFieldMapping, EngineTemplate
from services.gateway.http.field_parts import Transformation, Validator
from services.gateway.http.importers.importer_models import Importer
from services.gateway.http.wording import NEEDS, PATTERNS, explain, explain_form, explain_parameter

OTHERS = {"missing", "extra_forbidden", "value_error"}
READ = TypeAdapter[Any](
    EngineTemplate
    | EngineFieldMapping
    | Validator
    | Transformation
    | Importer
    | SourceFormat
    | ColumnWidth
    | TemplateField
    | Rule
    | Transform
)
"""Everything that pydantic judges of a request."""


def parts(schema: object) -> Iterator[Mapping[str, Any]]:
    """Every core schema within a core schema."""
    if isinstance(schema, dict):
        if isinstance(schema.get("type"), str):
            yield schema
        for name, part in schema.items():
            if name not in {"metadata", "serialization", "config"}:
                yield from parts(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from parts(part)


SAYS_NOTHING = {
    "any",
    "default",
    "nullable",
    "model-field",
    "definitions",
    "definition-ref",
    "union",
    "function-before",
}
SAYS = {
    "str": {"string_type", "string_unicode"},
    "int": {"int_type"},
    "float": {"float_type"},
    "bool": {"bool_type"},
    "literal": {"literal_error"},
    "enum": {"enum"},
    "list": {"list_type"},
    "tuple": {"tuple_type"},
    "dict": {"dict_type"},
    "model": {"model_type"},
    "model-fields": {"missing", "extra_forbidden"},
    "function-after": {"value_error"},
    "tagged-union": {"union_tag_invalid", "union_tag_not_found"},
}
"""The errors of each core schema."""
CONSTRAINTS = {"ge": "greater_than_equal", "le": "less_than_equal", "pattern": "string_pattern_mismatch"}


def possible_errors(schema: Mapping[str, Any]) -> set[str]:
    """The types of errors that one core schema can produce, without those of its parts."""
    kind = schema["type"]
    if kind in SAYS_NOTHING:
        return set()
    errors = SAYS[kind] | {CONSTRAINTS[name] for name in CONSTRAINTS if name in schema}
    for bound, long in (("min_length", "short"), ("max_length", "long")):
        if bound in schema:
            errors |= {f"string_too_{long}" if kind == "str" else f"too_{long}"}
    if kind == "float" and not schema.get("allow_inf_nan", True):
        errors |= {"finite_number"}
    return errors


def test_every_error_that_a_request_can_produce_has_words() -> None:
    possible = {error for part in parts(READ.core_schema) for error in possible_errors(part)}
    assert possible - OTHERS <= NEEDS.keys()
    assert {"string_too_long", "too_long", "literal_error", "missing"} <= possible


def test_every_pattern_has_words() -> None:
    used = {part["pattern"] for part in parts(READ.core_schema) if part["type"] == "str" and "pattern" in part}
    assert used == PATTERNS.keys()
    for pattern, words in PATTERNS.items():
        (example,) = re.findall(r"such as '(\w+)'", words)
        assert re.fullmatch(pattern, example)


class Leaf(BaseModel, extra="forbid", strict=True):
    kind: Literal["leaf"]
    name: Annotated[str, Field(pattern=next(iter(PATTERNS)))]


class Twig(BaseModel, extra="forbid", strict=True):
    kind: Literal["twig"]


def errors_of(model: type[Any], value: object) -> list[Any]:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter[Any](model).validate_python(value, strict=True)
    return cast("list[Any]", refused.value.errors())


ENUM_VALUES = (
    "'pending', 'validating', 'validated', 'executing', 'completed', 'failed', 'cancelled', 'reverting' or 'reverted'"
)
LONG = "x" * 200


@pytest.mark.parametrize(
    ("model", "value", "kind", "message"),
    [
        (str, 5, "string_type", "must be a text in double quotes; found 5"),
        (
            Annotated[str, Field(pattern="a")],
            "\ud800",
            "string_unicode",
            "must be a text without half of a surrogate pair; found '\\ud800'",
        ),
        (
            Annotated[str, Field(min_length=1)],
            "",
            "string_too_short",
            "must be a text of at least 1 character; this one has 0 characters",
        ),
        (
            Annotated[str, Field(max_length=199)],
            LONG,
            "string_too_long",
            "must be a text of at most 199 characters; this one has 200 characters",
        ),
        (
            Annotated[str, Field(pattern=next(iter(PATTERNS)))],
            "unit price",
            "string_pattern_mismatch",
            "must be a letter and up to 63 more letters, digits and '_', such as 'unit_price'; found 'unit price'",
        ),
        (
            Annotated[str, Field(pattern="^a$")],
            "b",
            "string_pattern_mismatch",
            "must be a text of the pattern ^a$; found 'b'",
        ),
        (int, "5", "int_type", "must be a whole number; found '5'"),
        (int, 5.5, "int_type", "must be a whole number; found 5.5"),
        (float, "1", "float_type", "must be a number; found '1'"),
        (
            Annotated[float, Field(allow_inf_nan=False)],
            float("inf"),
            "finite_number",
            "must be a finite number; found inf",
        ),
        (bool, "yes", "bool_type", "must be true or false; found 'yes'"),
        (Annotated[int, Field(ge=1)], 0, "greater_than_equal", "must be a number of at least 1; found 0"),
        (
            Annotated[int, Field(le=10_000)],
            20_000,
            "less_than_equal",
            "must be a number of at most 10,000; found 20000",
        ),
        (
            Literal["skip", "block", "keep"],
            "stop",
            "literal_error",
            "must be one of 'skip', 'block' or 'keep'; found 'stop'",
        ),
        (list[int], {}, "list_type", "must be a list […]; found {}"),
        (tuple[int, ...], "a", "tuple_type", "must be a list […]; found 'a'"),
        (
            Annotated[list[int], Field(min_length=1)],
            [],
            "too_short",
            "must be a list of at least 1 entry; this one has 0 entries",
        ),
        (
            Annotated[list[int], Field(max_length=2)],
            [1, 2, 3],
            "too_long",
            "must be a list of at most 2 entries; this one has 3 entries",
        ),
        (dict[str, int], [], "dict_type", "must be an object {…}; found []"),
        (Leaf, 5, "model_type", "must be an object {…}; found 5"),
        (
            Annotated[Leaf | Twig, Field(discriminator="kind")],
            {"kind": "x"},
            "union_tag_invalid",
            "must be an object whose 'kind' is one of 'leaf', 'twig'; found {'kind': 'x'}",
        ),
        (
            Annotated[Leaf | Twig, Field(discriminator="kind")],
            {},
            "union_tag_not_found",
            "must be an object with 'kind'; found {}",
        ),
        (Twig, {}, "missing", "is required"),
        (Twig, {"kind": "twig", LONG: 1}, "extra_forbidden", f"'{'x' * 79}… is unknown here; remove it"),
        (int | str, [], "int_type", "must be a whole number or a text in double quotes; found []"),
        (
            Annotated[int, Field(le=9)] | str,
            10,
            "less_than_equal",
            "must be a number of at most 9 or a text in double quotes; found 10",
        ),
        (
            dict[Annotated[str, Field(pattern=next(iter(PATTERNS)))], int],
            {"a b": 1},
            "string_pattern_mismatch",
            "the name must be a letter and up to 63 more letters, digits and '_', such as 'unit_price'; found 'a b'",
        ),
        (str, {"a": LONG}, "string_type", f"must be a text in double quotes; found {{'a': '{'x' * 73}…"),
    ],
)
def test_what_is_needed_and_what_was_found(model: type[Any], value: object, kind: str, message: str) -> None:
    errors = errors_of(model, value)
    assert errors[0]["type"] == kind
    code = {"missing": "MISSING", "extra_forbidden": "UNKNOWN_FIELD"}.get(kind, "INVALID")
    assert explain(errors) == (code, message)


def test_a_value_of_an_enumeration() -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(DateOrder).validate_python("ymx")
    assert explain(cast("list[Any]", refused.value.errors())) == (
        "INVALID",
        "must be one of 'dmy', 'mdy' or 'ymd'; found 'ymx'",
    )


def refuse(value: object) -> object:
    del value
    raise ValueError("it is not so")


class Refusing(BaseModel):
    name: Annotated[str, AfterValidator(refuse)]


def test_what_a_validator_of_our_own_says_is_passed_on() -> None:
    assert explain(errors_of(Refusing, {"name": "x"})) == ("INVALID", "it is not so")


def test_an_error_without_words_keeps_those_of_the_library() -> None:
    assert explain(errors_of(bytes, 5)) == ("INVALID", "must be valid (Input should be a valid bytes); found 5")


def of_msgspec(kind: type[Any], text: str) -> str:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(text, kind, strict=False)
    return str(refused.value)


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (int, "abc", "must be a whole number; found 'abc'"),
        (int, "1.5", "must be a whole number; found '1.5'"),
        (int, "", "must be a whole number; found ''"),
        (Annotated[int, msgspec.Meta(ge=1)], "0", "must be a whole number of at least 1; found '0'"),
        (Annotated[int, msgspec.Meta(le=1_000)], "1001", "must be a whole number of at most 1,000; found '1001'"),
        (
            Annotated[str, msgspec.Meta(max_length=100)],
            "x" * 101,
            f"must be a text of at most 100 characters; found '{'x' * 79}…",
        ),
        (Annotated[str, msgspec.Meta(min_length=1)], "", "must be a text of at least 1 characters; found ''"),
        (int, "1e9999", "must be a whole number that is not so large; found '1e9999'"),
        (
            Annotated[str, msgspec.Meta(pattern=ID_PATTERN)],
            "zzz",
            "must be an id as it was answered, of 24 characters from 0-9 and a-f; found 'zzz'",
        ),
        (Annotated[str, msgspec.Meta(pattern="^a+$")], "b", "must be a text of the pattern ^a+$; found 'b'"),
        (float, "x", "must be a number; found 'x'"),
        (bool, "maybe", "must be true or false; found 'maybe'"),
    ],
)
def test_parameters(kind: type[Any], given: str, message: str) -> None:
    assert explain_parameter(of_msgspec(kind, given), given) == message


def test_a_parameter_of_few_values_names_them() -> None:
    message = of_msgspec(DateOrder, "ymx")
    assert message == "Invalid enum value 'ymx'"
    explained = explain_parameter(message, "ymx", [order.value for order in DateOrder])
    assert explained == "must be one of 'dmy', 'mdy', 'ymd'; found 'ymx'"


def of_multipart(body: bytes) -> str:
    parser = multipart.PushMultipartParser("b", max_segment_count=2)
    with pytest.raises(multipart.MultipartError) as refused:
        read_form(parser, body)
    return str(refused.value)


def read_form(parser: multipart.PushMultipartParser, body: bytes) -> None:
    list(parser.parse(body))
    parser.close()


PART = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "ends before its last boundary"),
        (PART, "ends before its last boundary"),
        (b"{}", "ends before its last boundary"),
        (b"x" * 100 + b"--b\r\n", "does not begin with the boundary"),
        (b"--bx" + b"x" * 100, "else than a line break behind its first boundary"),
        (PART + b"--bx" + b"x" * 100, "else than a line break behind a boundary"),
        (b"--b\nContent-Disposition: form-data; name=a\n\nx\n--b--\n", "CR LF"),
        (PART * 3 + b"--b--\r\n", "too many parts"),
        (b"--b\r\nX: " + b"y" * 10_000 + b"\r\n\r\nx\r\n--b--\r\n", "headers of a part are too long"),
        (b"--b\r\nX: y\r\n\r\nx\r\n--b--\r\n", "Content-Disposition: form-data; name=…"),
        (b'--b\r\nContent-Disposition: attachment; name="a"\r\n\r\nx\r\n--b--\r\n', "Content-Disposition"),
        (
            b'--b\r\nContent-Disposition: form-data; name="a"\r\nContent-Length: 9\r\n\r\nx\r\n--b--\r\n',
            "Content-Length says",
        ),
        (b"--b\r\nno header\r\n\r\nx\r\n--b--\r\n", "it is no multipart/form-data (Malformed segment header)"),
    ],
)
def test_forms(body: bytes, words: str) -> None:
    assert words in explain_form(of_multipart(body))
