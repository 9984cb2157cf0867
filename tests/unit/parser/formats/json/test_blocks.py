"""Records that are taken together, as columns, are those that are decoded one by one, and so is what is refused."""

import json
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from services.parser.formats.api.batches import ParsedBatch
from services.parser.formats.api.limits import MIB, ReaderLimits
from services.parser.formats.json import records as json_records
from services.parser.formats.json.blocks import RecordBlock
from services.parser.formats.json.reader import JsonReader

KEYS = ("a", "b", "c")
LIMITS = ReaderLimits()
SPLICES = [
    *(
        '"',
        "\\",
        '\\"',
        "\\\\",
        "\\u0041",
        "\\u00",
        "\\ud83d\\ude00",
        "\\ud800",
        "\\u0000",
        "\\x",
        "\n",
        "\r\n",
        "\t",
        "\0",
    ),
    *(
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        '{"a":1}',
        "[1]",
        "null",
        "true",
        "NaN",
        "1e5",
        "-0",
        "01",
        "1.",
        "-",
        ".5",
        "\x7f",
    ),
    *(
        "å",
        "😀",
        " ",
        '"a":1,',
        '"z":1,',
        '"b":"x",',
        "},{",
        "{},",
        "//",
        "9" * 400,
        '"a" "b"',
        "\u00a0",
        "\ufeff",
        "\x1f",
    ),
]


class SlowReader(JsonReader):
    """Decodes every record on its own."""

    def __init__(self, plan: ParsePlan, limits: ReaderLimits) -> None:
        super().__init__(plan, limits)
        self._splitter._together = None  # type: ignore[union-attr]


def plan_of(keys: tuple[str, ...] = KEYS, overflow: bool = True) -> ParsePlan:
    columns = (*keys, "others") if overflow else keys
    return ParsePlan(
        columns=columns,
        overflow=len(keys) if overflow else None,
        file_type="json",
        options={"shape": "array", "start": 1},
        batch_rows=10_000,
        batch_bytes=4 * MIB,
    )


def outcome(reader: JsonReader, data: bytes, piece: int) -> object:
    """Rows and issues, or why the file is refused."""
    batches: list[ParsedBatch] = []
    try:
        for start in range(0, len(data), piece):
            batches += reader.feed(data[start : start + piece])
        batches += reader.close()
    except FileRefusedError as refused:
        return refused.code, refused.detail
    return [row for batch in batches for row in batch.table.to_pylist()], [i for batch in batches for i in batch.issues]


def one_by_one(data: bytes, overflow: bool = True, limits: ReaderLimits = LIMITS) -> object:
    return outcome(SlowReader(plan_of(overflow=overflow), limits), data, len(data) or 1)


def taken_together(data: bytes, piece: int = 100_000) -> int:
    reader = JsonReader(plan_of(), LIMITS)
    taken: list[int] = []
    take = reader._take_block  # type: ignore[reportPrivateUsage]

    def count(block: RecordBlock) -> None:
        taken.append(block.rows)
        take(block)

    together = reader._splitter._together  # type: ignore[reportPrivateUsage]
    reader._splitter._together = json_records.Together(together.keys, together.many, count)
    outcome(reader, data, piece)
    return sum(taken)


TEXT = st.text(alphabet='ab\n\t \\"/{},:[]å€😀\x7f\u2028', max_size=6)
SCALARS = st.one_of(
    TEXT, st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none(), st.just("x")
)
STYLES: list[Callable[[object], str]] = [
    lambda rows: json.dumps(rows, separators=(",", ":")),
    lambda rows: json.dumps(rows, ensure_ascii=False),
    lambda rows: json.dumps(rows, indent=2),
    lambda rows: json.dumps(rows, ensure_ascii=False, separators=(" ,\r\n", "\t: ")),
]


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Records of few kinds, most of them with plain values, and then some damage."""
    kinds = draw(
        st.lists(st.permutations(KEYS).flatmap(lambda keys: st.integers(0, 3).map(lambda n: keys[:n])), min_size=1)
    )
    rows: list[object] = []
    for choice, values in draw(st.lists(st.tuples(st.integers(0, 9), st.lists(SCALARS, min_size=3, max_size=3)))):
        keys = kinds[max(0, choice - 7) % len(kinds)]
        row: dict[str, object] = dict(zip(keys, values, strict=False))
        if choice == 9:
            row |= draw(st.sampled_from([{"z": 1}, {"a": {"b": 1}}, {"a": [1]}, {"a.b": "x"}, {}]))
        rows.append(row)
    text = draw(st.sampled_from(STYLES))(rows)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2, 5]))):
        at = draw(st.integers(1, len(text)))
        if draw(st.booleans()):
            at = text.find(draw(st.sampled_from(['"', ":", ",", "}", "{"])), at) % (len(text) + 1)
            at = max(1, at + draw(st.integers(0, 1)))
        text = text[:at] + draw(st.sampled_from(SPLICES)) + text[at + draw(st.sampled_from([0, 0, 0, 1, 4])) :]
    return text.encode("utf-8", "surrogatepass")


@given(documents(), st.sampled_from([20, 100, 10_000]), st.booleans())
@example(b'[{"a":"x","b":1},{"a":"y" "z","b":2},{"a":"","b":3}]', 10_000, True)
@example(b'[{"a":"\\\\","b":1},{"a":"\\"","b":2},{"a":"\\\\\\"","b":3},{"a":"","b":3}]', 10_000, True)
@settings(max_examples=800, deadline=None)
def test_rows_and_refusals_are_those_of_single_records(data: bytes, piece: int, overflow: bool) -> None:
    assert outcome(JsonReader(plan_of(overflow=overflow), LIMITS), data, piece) == one_by_one(data, overflow)


RECORD = '{"a":"x","b":1,"c":null}'


@pytest.mark.parametrize("splice", SPLICES)
@pytest.mark.parametrize(
    "place",
    ["{}{", '{{}"a', '"{}a', 'a{}"', '"{}:', ':{}"x', '"{}x', 'x{}"', '"{},"', ",{}", ":{}1", "1{},", "l{}}", "}{}"],
)
def test_a_record_that_is_not_like_the_others(place: str, splice: str) -> None:
    before, after = place.split("{}")
    odd = RECORD.replace(before + after, before + splice + after, 1)
    rows = ",\n".join([RECORD] * 40)
    data = f"[{rows},{odd},{rows},\n{rows}]".encode()
    assert outcome(JsonReader(plan_of(), LIMITS), data, 10_000) == one_by_one(data)
    in_doubt = splice in {"\\ud83d\\ude00", "\\ud800", "\\u0000"}
    assert taken_together(data) >= (0 if in_doubt else 39)


@pytest.mark.parametrize(
    ("record", "fewest"),
    [
        pytest.param(lambda at: {"a": f"x{at}", "b": at, "c": None}, 997, id="alike"),
        pytest.param(lambda at: {"a": at / 7, "b": at % 2 == 0, "c": None if at % 3 else "x"}, 997, id="scalars"),
        pytest.param(lambda at: {"c": "å", "a": str(at)}, 997, id="another order and a missing key"),
        pytest.param(lambda at: {"a": 'x"\\\n', "b": "\\" * (at % 5), "c": "ä€"}, 997, id="escapes"),
        pytest.param(lambda at: {"a": 1, "b": {"x": 1}} if at % 50 == 7 else {"a": 1, "b": 2}, 900, id="a few others"),
        pytest.param(lambda at: {"a": 1} if at % 2 else {"b": 2}, -1, id="differing all the time"),
        pytest.param(lambda _: {"a": {"x": 1}}, 0, id="objects"),
        pytest.param(lambda _: {"a": [1]}, 0, id="lists"),
        pytest.param(lambda _: {"a": 1, "z": 1}, 0, id="not of the plan"),
        pytest.param(lambda _: {}, 0, id="empty"),
    ],
)
@pytest.mark.parametrize("style", STYLES[:3])
def test_how_many_records_are_taken_together(
    record: Callable[[int], object], fewest: int, style: Callable[[object], str]
) -> None:
    data = style([record(at) for at in range(1_000)]).encode()
    assert outcome(JsonReader(plan_of(), LIMITS), data, 10_000_000) == one_by_one(data)
    taken = taken_together(data, 10_000_000)
    if fewest < 0:
        assert taken < 50
    else:
        assert taken >= fewest
        assert fewest or not taken


def test_large_records_are_left_out() -> None:
    limits = ReaderLimits(max_record_bytes=2_000, max_cell_bytes=400)
    rows = [{"a": "x" * (at % 90), "b": "å" * (at * 7 % 500)} for at in range(500)]
    data = json.dumps(rows, ensure_ascii=False).encode()
    assert outcome(JsonReader(plan_of(), limits), data, 10_000_000) == one_by_one(data, limits=limits)
