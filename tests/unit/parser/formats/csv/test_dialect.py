import pytest

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from services.parser.formats.api.encoding import EncodingDetector
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.csv.dialect import detect_layout
from services.parser.formats.csv.reader import CsvReader
from services.parser.planning.plan import make_plan

LIMITS = ReaderLimits()


def template_of(*fields: str | dict[str, object], required: tuple[str, ...] = (), **source: object) -> Template:
    return Template.model_validate(
        {
            "name": "t",
            "target_resource": "things",
            "fields": [{"name": field} if isinstance(field, str) else field for field in fields],
            "required_columns": required,
            "source": source,
        }
    )


def plan_of(data: bytes, template: Template, *, whole_file: bool = True, limits: ReaderLimits = LIMITS) -> ParsePlan:
    detector = EncodingDetector(template.source.encoding)
    encoding = detector.feed(data) or detector.close()
    layout = detect_layout(data, template, encoding, whole_file=whole_file, limits=limits)
    return make_plan(layout, template, "csv", batch_rows=5_000, batch_bytes=4_000_000, limits=limits)


def refusal(data: bytes, template: Template, *, whole_file: bool = True) -> FileRefusedError:
    with pytest.raises(FileRefusedError) as refused:
        plan_of(data, template, whole_file=whole_file)
    return refused.value


NAME = template_of("name")
NO_HEADER = template_of("name", has_header=False)


@pytest.mark.parametrize(
    ("data", "delimiter"),
    [
        (b"name,city\na,b\n", ","),
        (b"name;city\n1,5;b\n2,5;c\n", ";"),
        (b"name\tcity\na\tb\n", "\t"),
        (b"name|city\na|b\n", "|"),
        (b"name\na\nb\n", ","),
        (b"name;city\n" + b"a,x;b,y\n" * 500, ";"),
        (b"name\nSmith, John\nDoe, Jane\n", ";"),
        (b'"name","city"\n"a;b;c","d"\n"e;f;g","h"\n', ","),
        (b'"name";"city"\n"a,b";"c"\n', ";"),
        (b'name,note\n"a,""b""",c\n', ","),
    ],
)
def test_delimiter_is_found_and_noted(data: bytes, delimiter: str) -> None:
    plan = plan_of(data, NAME)
    assert plan.delimiter == delimiter
    assert any(note.startswith("delimiter: ") for note in plan.notes)
    assert plan.mapping == {"name": 0}


def test_the_templates_delimiter_wins_and_is_not_noted() -> None:
    plan = plan_of(b"name,x:city\n", template_of("city", delimiter=":"))
    assert plan.columns == ("name,x", "city")
    assert not any("delimiter" in note for note in plan.notes)


@pytest.mark.parametrize("delimiter", ['"', "\n", "\r", "\0", "§"])
def test_an_impossible_delimiter_is_refused(delimiter: str) -> None:
    assert refusal(b"name\n", template_of("name", delimiter=delimiter)).code == "BAD_DELIMITER"


def test_without_header_the_number_of_fields_helps_to_find_the_delimiter() -> None:
    plan = plan_of(b"1,5;2,5;3,5\n4,5;5,5;6,5\n", template_of("a", "b", "c", has_header=False))
    assert plan.delimiter == ";"
    assert plan.columns == ("column_1", "column_2", "column_3")


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("name,b,b,b", ("name", "b", "b_2", "b_3")),
        ("name,b,b,b_2", ("name", "b", "b_3", "b_2")),
        ("name,,", ("name", "column_2", "column_3")),
        ("name,column_3,", ("name", "column_3", "column_3_2")),
        (" name , b\t", ("name", "b")),
        ("name,cafe\u0301,café", ("name", "café", "café_2")),
        ("na\0me,\x1bb,\ufeffc", ("name", "b", "c")),
        ('name,"two\nlines"', ("name", "two lines")),
        ("name," + "x" * 301, ("name", "x" * 300)),
        ("name," + "x" * 300 + "," + "x" * 301, ("name", "x" * 300, "x" * 300 + "_2")),
    ],
)
def test_column_names_are_clean_and_unique(header: str, columns: tuple[str, ...]) -> None:
    assert plan_of(header.encode() + b"\n", template_of("name", delimiter=",")).columns == columns


def test_changed_headers_are_noted_but_not_by_the_thousand() -> None:
    notes = plan_of(b"name" + b",b" * 5_000 + b"," + b"x" * 400 + b"\n", template_of("name", delimiter=",")).notes
    assert "column 3: repeated header, read as 'b_2'" in notes
    assert "column 5002: header cut to 300 characters" in notes
    assert "… and 4,979 more columns like these" in notes
    assert len(notes) < 30


def test_undecodable_bytes_in_a_header_are_shown() -> None:
    assert plan_of("name,größe,straße,".encode() + b"\xff\n", NAME).columns[3] == "\\xff"


@pytest.mark.parametrize(
    ("header", "source", "index"),
    [
        ("name,Name", "Name", 1),
        ("x,FIRST  name", "First_Name", 1),
        ("x, first-name ", "first name", 1),
        ("First Name,first_name", "FIRST-NAME", None),
        ("First Name,first_name", "first_name", 1),
        ("x,STRASSE", "straße", 1),
        ("x,y", "z", None),
    ],
)
def test_fields_find_their_columns(header: str, source: str, index: int | None) -> None:
    plan = plan_of(f"{header},other\n".encode(), template_of({"name": "f", "column": source}, "other"))
    assert plan.mapping == {"f": index, "other": 2}


def test_without_header_fields_map_by_number_or_by_position() -> None:
    fields = ("a", {"name": "b", "column": "column_1"}, {"name": "c", "column": "column_9"}, "d")
    plan = plan_of(b"1,2,3\n", template_of(*fields, has_header=False))
    assert plan.mapping == {"a": 0, "b": 0, "c": None, "d": None}


REQUIRED = {"type": "required"}


@pytest.mark.parametrize(
    ("template", "missing"),
    [
        (template_of("name", {"name": "email", "rules": [REQUIRED]}), "'email'"),
        (template_of("name", required=("x", "city", "y")), "'x', 'y'"),
        (template_of("name", {"name": "x", "rules": [REQUIRED]}, required=("x",)), "'x'"),
        (template_of("x", "y"), "'x', 'y'"),
        (template_of("name", required=("column_9",), has_header=False), "'column_9'"),
    ],
)
def test_missing_columns_refuse_the_file_and_name_both_sides(template: Template, missing: str) -> None:
    refused = refusal(b"name,city\na,b\n", template)
    assert refused.code == "MISSING_COLUMNS"
    assert f"no column {missing};" in refused.detail
    assert ("'name', 'city'" if template.source.has_header is not False else "'column_1', 'column_2'") in refused.detail


def test_long_column_lists_are_cut_in_the_refusal() -> None:
    refused = refusal(",".join(map(str, range(100))).encode() + b"\n", NAME)
    assert "'29' and 70 more" in refused.detail


def test_a_required_field_with_a_default_needs_no_column() -> None:
    field = {"name": "country", "rules": [REQUIRED], "transforms": [{"type": "default", "value": "DE"}]}
    assert plan_of(b"name\n", template_of("name", field)).mapping == {"name": 0, "country": None}


def test_required_columns_may_be_fields_without_header() -> None:
    template = template_of("name", required=("name", "column_2"), has_header=False)
    assert plan_of(b"a,b\n", template).mapping == {"name": 0}


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\n\r\n\r", b"\xef\xbb\xbf\n\n"])
@pytest.mark.parametrize("template", [NAME, NO_HEADER, template_of("name", delimiter=";")])
def test_an_empty_file_is_refused(data: bytes, template: Template) -> None:
    assert refusal(data, template).code == "EMPTY_FILE"


def test_a_file_shorter_than_skip_rows_says_so() -> None:
    refused = refusal(b"name\na\n", template_of("name", skip_rows=5))
    assert refused.code == "EMPTY_FILE"
    assert "first 2 rows" in refused.detail
    assert "skip_rows = 5" in refused.detail


@pytest.mark.parametrize("data", [b"name", b"\n\n\n", b'name,"city\n', b"x" * 1_000])
def test_a_header_beyond_the_sample_is_refused(data: bytes) -> None:
    assert refusal(data, NAME, whole_file=False).code == "HEADER_TOO_LARGE"


def test_a_sample_may_end_anywhere() -> None:
    data = 'größe,name\n1,"a\nb"\n2,ö'.encode()
    for end in range(len("größe,name\n".encode()), len(data)):
        assert plan_of(data[:end], NAME, whole_file=False).columns == ("größe", "name")


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b'name,"city\na,b\n', "UNTERMINATED_QUOTE", "line 1"),
        (b'"name"x,city\na,b\n', "MALFORMED_QUOTE", "line 1"),
        (b'\n\n"name"x,city\na,b\n', "MALFORMED_QUOTE", "line 3"),
    ],
)
def test_broken_quotes_in_the_header(data: bytes, code: str, words: str) -> None:
    refused = refusal(data, NAME)
    assert refused.code == code
    assert words in refused.detail


def test_broken_quotes_in_a_row_are_left_to_the_reader() -> None:
    assert plan_of(b'name,city\n"a"b,c\n', NAME).delimiter == ","


def test_too_many_columns() -> None:
    with pytest.raises(FileRefusedError, match="TOO_MANY_COLUMNS") as refused:
        plan_of(b"name" + b"," * 16_384 + b"\n", template_of("name", delimiter=","))
    assert "more than 16,384 columns" in refused.value.detail


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_plan_and_reader_agree(encoding: str, ends: str) -> None:
    text = ends.join(["Report;;", "", "Größe;name;name", "1;a;", "2;b;x"])
    data = text.encode(encoding)
    template = template_of("name", {"name": "size", "column": "größe"}, skip_rows=1)
    plan = plan_of(data, template)
    assert plan.columns == ("Größe", "name", "name_2")
    assert plan.mapping == {"name": 1, "size": 0}
    reader = CsvReader(ParsePlan.model_validate_json(plan.model_dump_json()), LIMITS)
    (batch,) = [*reader.feed(data), *reader.close()]
    assert batch.table.to_pydict() == {"_row": [1, 2], "c0": ["1", "2"], "c1": ["a", "b"], "c2": ["", "x"]}


def test_the_plan_carries_what_it_was_given() -> None:
    plan = plan_of(b"name\n", NAME)
    assert (plan.batch_rows, plan.batch_bytes, plan.skip_rows, plan.has_header) == (5_000, 4_000_000, 0, True)
