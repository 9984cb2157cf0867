"""Templates in the engine's vocabulary: shown and sent back, and anything at all in any place of one."""

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.contracts.templates import (
    Capitalize,
    ColumnWidth,
    Compare,
    Concat,
    Constant,
    DateOrder,
    DecimalStyle,
    Default,
    FieldType,
    ImportMode,
    InvalidRows,
    Lower,
    Max,
    MaxLength,
    Min,
    MinLength,
    NormalizeDate,
    NormalizePhone,
    OneOf,
    Regex,
    RemoveSpecialChars,
    Replace,
    Required,
    RequiredIf,
    SourceFormat,
    Template,
    TemplateField,
    Trim,
    Unique,
    Upper,
)
from libs.storage.documents import TemplateDocument, Wording
from services.gateway.errors import InvalidTemplateError, Problem
from services.gateway.http.engine.template_models import EngineFieldMapping, EngineTemplate
from services.gateway.http.engine.template_reading import read_template
from services.gateway.http.engine.template_view import present_template
from services.gateway.http.field_parts import Transformation, Validator
from services.gateway.templates.judging import TemplateJudge
from services.gateway.webhooks.endpoints import Linked

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def shown(model: Template, words: dict[str, Any] | None = None) -> dict[str, Any]:
    """The view of a stored template, as JSON."""
    document = TemplateDocument.model_construct(
        id="1" * 24, tenant_id="2" * 24, template=model, version=7, created_at=NOW, updated_at=NOW,
        wording=None if words is None else Wording(version=7, words=words),
    )  # fmt: skip
    return json.loads(present_template(Linked(document)).model_dump_json())


def sent_back(model: Template) -> Template:
    read = read_template(shown(model), TemplateJudge())
    assert read.version == 7
    return read.approved.template


def test_an_answer_can_be_sent_back() -> None:
    model = Template(
        name="all of it",
        description="words",
        target_resource="things",
        source=SourceFormat(file_type="excel", sheet="Data", skip_rows=1, has_header=True),
        mode=ImportMode.UPSERT,
        upsert_key="a",
        invalid_rows=InvalidRows.KEEP,
        auto_execute=True,
        webhook_url="https://example.com/hook",
        webhook_enabled=False,
        default_values={"source": "erp", "n": 1, "f": 1.5, "t": True, "nothing": None},
        required_columns=("A",),
        fields=(
            TemplateField(name="a", column="A", label="An A", rules=(Required(), Unique())),
            TemplateField(name="b", type=FieldType.NUMBER, integer=True, rules=(Min(value=1), Required())),
            TemplateField(name="c", rules=(Required(message="c!"), Regex(pattern=r"\d+"), OneOf(values=("1",)))),
            TemplateField(name="d", type=FieldType.DATE, date_format="DD.MM.YYYY", rules=(Required(), Required())),
        ),
    )
    assert sent_back(model) == model


# What a JSON body can hold: any text but lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
filled = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
messages = st.none() | texts
regions = st.sampled_from(["US", "SE", "DE"])
transforms = st.one_of(
    st.sampled_from(
        [
            Trim(),
            Upper(),
            Lower(),
            Capitalize(),
            RemoveSpecialChars(),
            NormalizeDate(),
            NormalizeDate(format="DD.MM.YYYY"),
        ]
    ),
    st.builds(NormalizePhone, region=st.none() | regions),
    st.builds(Default, value=texts),
    st.builds(Replace, find=filled, replace=texts),
    st.builds(Constant, value=texts),
    st.builds(Concat, columns=st.lists(filled, min_size=1, max_size=3).map(tuple)),
)
values = st.lists(texts, min_size=1, max_size=3).map(tuple)
rules = st.one_of(
    st.builds(Required, message=messages),
    st.builds(MinLength, value=st.integers(0, 5), message=messages),
    st.builds(MaxLength, value=st.integers(5, 2**31 - 1), message=messages),
    st.builds(Regex, pattern=st.sampled_from(["a", "^[A-Z]{2}\\d{4}$"]), message=messages),
    st.builds(OneOf, values=values, message=messages),
    st.builds(Unique, fields=st.sampled_from([(), ("other",)]), against_target=st.booleans(), message=messages),
    st.builds(RequiredIf, field=st.just("other"), values=st.none() | values, message=messages),
    st.builds(Compare, operator=st.sampled_from(["eq", "ne"]), field=st.just("other"), message=messages),
)
null_values = st.none() | st.lists(texts, max_size=2).map(tuple)
bounds = st.one_of(
    st.builds(Min, value=st.floats(-1e18, 0), message=messages), st.builds(Max, value=st.floats(0, 1e18))
)


@st.composite
def template_fields(draw: st.DrawFn, name: str) -> TemplateField:
    shared = {
        "name": name,
        "label": draw(messages),
        "description": draw(messages),
        "column": draw(st.none() | filled),
        "aliases": draw(st.lists(filled, max_size=2).map(tuple)),
        "null_values": draw(null_values),
        "transforms": draw(st.lists(transforms, max_size=3).map(tuple)),
    }
    textual = draw(st.lists(rules, max_size=4).map(tuple))
    styles = [{}, {"date_order": "mdy"}, {"past": True}, {"date_format": "YYYYMMDD"}]
    other = tuple(rule for rule in textual if not isinstance(rule, Compare))
    kinds: list[dict[str, Any]] = [
        {"rules": textual},
        {"type": "email", "rules": textual},
        {"type": "url", "rules": textual},
        {"type": "boolean", "rules": other},
        {"type": "boolean", "rules": other, "true_values": ("aktiv", "X"), "false_values": ("inaktiv",)},
        {"type": "custom_regex", "rules": (*textual, Regex(pattern="a"))},
        {"type": "select", "options": draw(values), "rules": textual},
        {"type": "phone", "region": draw(st.none() | regions), "rules": textual},
        {"type": "date", "rules": other, **draw(st.sampled_from(styles))},
        {
            "type": "number",
            "rules": (*other, *draw(st.lists(bounds, max_size=2))),
            "decimal_style": draw(st.sampled_from([None, "comma", "point"])),
            "percent": draw(st.sampled_from([None, "fraction", "as_is"])),
            "currency": draw(st.sampled_from([None, "EUR", "XXX"])),
            **draw(st.sampled_from([{}, {"integer": True}, {"decimals": 0}, {"decimals": 30}])),
        },
    ]  # fmt: skip
    return TemplateField.model_validate({**shared, **draw(st.sampled_from(kinds))})


widths = st.lists(st.builds(ColumnWidth, name=st.none() | filled, width=st.integers(1, 9)), min_size=1, max_size=3)
sources = st.one_of(
    st.builds(
        SourceFormat,
        file_type=st.sampled_from([None, "csv", "json", "xml", "excel"]),
        delimiter=st.sampled_from([None, ";", "\t"]),
        encoding=st.sampled_from([None, "utf-8", "cp1252"]),
        has_header=st.none() | st.booleans(),
        skip_rows=st.integers(0, 3),
    ),
    st.builds(
        SourceFormat,
        file_type=st.sampled_from([None, "csv"]),
        quote_char=st.sampled_from([None, "", '"', "'"]),
        escape_char=st.sampled_from([None, "", "\\"]),
        comment_prefix=st.sampled_from([None, "#", "//"]),
        skip_footer_rows=st.none() | st.integers(0, 3),
    ),
    st.builds(
        SourceFormat,
        file_type=st.just("fixed_width"),
        column_widths=widths.map(tuple),
        width_unit=st.sampled_from(["characters", "bytes"]),
    ),
    st.builds(SourceFormat, file_type=st.just("excel"), sheet=st.integers(0, 3) | filled),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    texts,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
templates = st.builds(
    Template,
    name=filled.filter(str.strip),
    description=messages,
    source=sources,
    fields=st.tuples(template_fields("a"), template_fields("b"), st.just(TemplateField(name="other"))),
    invalid_rows=st.sampled_from(InvalidRows),
    target_resource=st.just("things"),
    default_values=st.dictionaries(st.sampled_from(["origin", "batch"]), scalars),
    required_columns=st.lists(filled, max_size=2).map(tuple),
    include_unmatched_columns=st.booleans(),
    default_date_order=st.sampled_from(DateOrder),
    default_decimal_style=st.sampled_from(DecimalStyle),
    default_region=regions,
    null_values=null_values,
    two_digit_year_pivot=st.none() | st.integers(0, 100),
    zero_dates=st.sampled_from(["error", "empty"]),
    webhook_data_sample_size=st.none() | st.integers(0, 10),
    dark_mode=st.booleans(),
    auto_execute=st.booleans(),
)  # fmt: skip


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(templates)
def test_any_template_that_is_presented_and_read_again_is_the_same(model: Template) -> None:
    assert sent_back(model) == model


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_FIELD_PATHS = [
    *(("field_mapping", 0, member) for member in EngineFieldMapping.model_fields),
    *(("field_mapping", 0, "validators", 0, member) for member in Validator.model_fields),
    *(("field_mapping", 0, "transformations", 0, member) for member in Transformation.model_fields),
]


def read(body: dict[str, Any]) -> tuple[Template | None, tuple[Problem, ...]]:
    try:
        return read_template(body, TemplateJudge()).approved.template, ()
    except InvalidTemplateError as refusal:
        return None, refusal.problems


@settings(max_examples=300)
@given(st.sampled_from([*((name,) for name in EngineTemplate.model_fields), *_FIELD_PATHS]), json_values)
def test_whatever_stands_anywhere_is_read_or_refused_with_its_place(path: tuple[str | int, ...], value: object) -> None:
    body: dict[str, Any] = {
        "name": "products",
        "target_resource": "products",
        "field_mapping": [
            {
                "target": "sku",
                "validators": [{"type": "max_length", "value": 3}],
                "transformations": [{"type": "trim"}],
            }
        ],
    }
    container: Any = body
    for step in path[:-1]:
        container = container[step]
    container[path[-1]] = value
    template, problems = read(body)
    assert (template is None) is bool(problems)
    assert all(problem.location.startswith("body.") and problem.message for problem in problems)
