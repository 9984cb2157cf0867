"""A column that the template asks for, and a record that has an object or elements there instead of one value."""

import pytest

from libs.contracts.errors import FileRefusedError
from libs.contracts.templates import FieldType, SourceFormat, Template, TemplateField
from tests.reading import read_file

FIELDS = ("name", "amount")
PEOPLE = Template(
    name="people",
    target_resource="people",
    source=SourceFormat(),
    fields=tuple(TemplateField(name=name, type=FieldType.TEXT, column=name) for name in FIELDS),
)


def outcomes(content: str) -> tuple[list[tuple[str | None, ...]], dict[int, tuple[str, int | None]]]:
    """The asked cells of the rows that were read; number, code and column of those that were not."""
    found = read_file(content.encode(), PEOPLE)
    asked = [found.plan.mapping[name] for name in FIELDS]
    rows = [tuple(None if index is None else cells[index] for index in asked) for cells in found.cells()]
    return rows, {issue.row: (issue.code, issue.column) for issue in found.issues}


@pytest.mark.parametrize(
    ("content", "rows", "nested"),
    [
        pytest.param(
            '[{"name":"a","amount":1},{"name":{"first":"b"},"amount":2}]', [("a", "1")], {2}, id="object for a text"
        ),
        pytest.param(
            '[{"name":"a","amount":1},{"name":"b","amount":{"$numberDecimal":"2.5"}}]',
            [("a", "1"), ("b", "2.5")],
            set(),
            id="extended",
        ),
        pytest.param(
            '[{"name":"a","amount":1},{"name":"b","amount":{"$numbers":"2.5"}}]', [("a", "1")], {2}, id="no type"
        ),
        pytest.param('[{"name":"a","amount":{"v":1}},{"name":"b"}]', [("b", None)], {1}, id="never one value"),
        pytest.param('{"name":{"first":"b"},"amount":2}\n{"name":"c"}\n', [("c", None)], {1}, id="lines"),
        pytest.param('[{"name":{},"amount":1}]', [(None, "1")], set(), id="empty object"),
        pytest.param('[{"name":"a","amount.value":1}]', [("a", None)], set(), id="dotted key"),
        pytest.param(
            '[{"name":"a","other":{"x":1}},{"name":"b","other":2}]', [("a", None), ("b", None)], set(), id="not asked"
        ),
        pytest.param('[{"name":["a","b"],"amount":1}]', [('["a","b"]', "1")], set(), id="a list is a text"),
        pytest.param(
            "<r><i><name><first>a</first></name><amount>1</amount></i><i><name>b</name><amount>2</amount></i></r>",
            [("b", "2")],
            {1},
            id="elements",
        ),
        pytest.param(
            "<r><i><name>b</name><amount><value/></amount></i><i><name>c</name></i></r>",
            [("c", None)],
            {1},
            id="empty element within",
        ),
        pytest.param(
            '<r><i><name>b</name><amount cur="EUR">2</amount></i><i><name>c</name><amount cur="EUR"/></i></r>',
            [("b", "2"), ("c", "")],
            set(),
            id="attributes",
        ),
        pytest.param(
            "<r><i><name>b<x>c</x></name></i><i><name>c</name><amount.value>2</amount.value></i></r>",
            [("b", None), ("c", None)],
            set(),
            id="own text, and a name with a dot",
        ),
        pytest.param(
            "<r><i><name>Hello <b>you</b> there</name></i><i><name>c</name><amount>2</amount></i></r>",
            [("c", "2")],
            {1},
            id="an element within the text",
        ),
        pytest.param(
            "<r><i><name>a<x/>b<x/></name></i><i><name>c<!-- d --><![CDATA[<e>]]></name><amount>2</amount></i></r>",
            [("c<e>", "2")],
            {1},
            id="line breaks within the text, and comments",
        ),
        pytest.param(
            "<r><i><name>b</name><amount>\n 2\n <cur>EUR</cur>\n</amount><note>a <b>c</b> d</note></i></r>",
            [("b", "\n 2\n \n")],
            set(),
            id="one text, indentation, and what nobody asked for",
        ),
    ],
)
def test_others_within_a_value_are_told(content: str, rows: list[tuple[str | None, ...]], nested: set[int]) -> None:
    read, issues = outcomes(content)
    assert read == rows
    assert {row for row, (code, _) in issues.items() if code == "NESTED_VALUE"} == set(issues) == nested


def test_elements_are_found_among_rows_that_are_cut_out_as_columns() -> None:
    plain = "<i><name>n{0}</name><amount>{0}</amount></i>\n"
    odd = "<i><name><first>n{0}</first></name><amount>{0}</amount></i>\n"
    numbers = range(1, 20_001)
    content = f"<r>{''.join((plain if number % 997 else odd).format(number) for number in numbers)}</r>"
    rows, issues = outcomes(content)
    assert set(issues) == {number for number in numbers if number % 997 == 0}
    assert rows == [(f"n{number}", str(number)) for number in numbers if number % 997]


def test_the_message_names_the_value_that_may_be_meant() -> None:
    found = read_file(b'[{"name":"a"},{"name":{"first":"b","last":"c"}}]', PEOPLE)
    (issue,) = found.issues
    assert "'name'" in issue.message
    assert "'name.first'" in issue.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name,other\na,1\n", ["field 'amount': the file has no column 'amount', so nothing is read for it"]),
        ("name,amount\na,1\n", []),
        ('[{"name":"a"}]', ["field 'amount': the file has no column 'amount', so nothing is read for it"]),
        (
            '[{"name":"a","price":{"amount":1},"tax":{"amount":2}}]',
            [
                (
                    "field 'amount': the file has no column 'amount', so nothing is read for it; "
                    "'price.amount', 'tax.amount' within others is not read, name it in the template if it is meant"
                )
            ],
        ),
        (
            f"<r>{'<i><name>a</name></i>' * 200_000}</r>",
            ["field 'amount': no record at the start of the file has 'amount'"],
        ),
    ],
)
def test_fields_without_a_column_are_told(content: str, said: list[str]) -> None:
    assert [note for note in read_file(content.encode(), PEOPLE).plan.notes if note.startswith("field")] == said


def test_elements_within_a_text_are_told_as_such() -> None:
    found = read_file(b"<r><i><name>Hello <b>you</b> there</name></i><i><name>c</name></i></r>", PEOPLE)
    [issue] = found.issues
    assert "elements stand within the text" in issue.message
    assert "'name.b'" in issue.message


VALUES_IN_ATTRIBUTES = '<r><i><name v="a"/><amount v="1"/></i><i><name v="b"/><amount v="2"/></i></r>'


def test_a_file_whose_columns_have_no_values_of_their_own_is_refused() -> None:
    with pytest.raises(FileRefusedError, match="MISSING_COLUMNS") as refused:
        read_file(VALUES_IN_ATTRIBUTES.encode(), PEOPLE)
    for each in ("'name', 'amount'", "'name.v'"):
        assert each in refused.value.detail
    with pytest.raises(FileRefusedError, match="MISSING_COLUMNS"):
        read_file(VALUES_IN_ATTRIBUTES.replace('<name v="a"/>', "<name><first>a</first></name>").encode(), PEOPLE)


def test_a_column_without_values_of_its_own_is_told() -> None:
    found = read_file(VALUES_IN_ATTRIBUTES.replace('<name v="a"/>', "<name>a</name>").encode(), PEOPLE)
    assert [note for note in found.plan.notes if "only within" in note] == [
        "field 'amount': 'amount' has no value at the start of the file, only within it"
    ]
    plain = read_file(b"<r><i><name>a</name><amount/></i><i><name>b</name><amount/></i></r>", PEOPLE)
    assert not any("only within" in note for note in plain.plan.notes)


@pytest.mark.parametrize(
    "content",
    [
        '[{"Name":"a","amount":1},{"name":"b","amount":2}]',
        "<r><i><Name>a</Name><amount>1</amount></i><i><name>b</name><amount>2</amount></i></r>",
    ],
)
def test_a_column_that_is_spelled_otherwise_in_other_records_is_told(content: str) -> None:
    found = read_file(content.encode(), PEOPLE)
    assert "the column 'name' is read, and not what has nearly the same name: 'Name'" in found.plan.notes
    alike = read_file(content.replace("Name", "name").encode(), PEOPLE)
    assert not any("nearly the same name" in note for note in alike.plan.notes)
