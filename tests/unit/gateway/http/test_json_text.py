"""JSON of a client: what is read, and how everything else is refused."""

import json
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.http.json_text import MAX_DEPTH, MAX_NUMBER_CHARS, InvalidJsonError, decode_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, -2.5e3, true, false, null, "x"], "b": {}}', {"a": [1, -2500.0, True, False, None, "x"], "b": {}}),
        (' "\\ud83d\\ude00 é" ', "😀 é"),
        ("null", None),
        ("1" * MAX_NUMBER_CHARS, int("1" * MAX_NUMBER_CHARS)),
        ('[{"a": 1}, {"a": 1}]', [{"a": 1}, {"a": 1}]),
        ('{"a": {"a": 1}, "A": 2}', {"a": {"a": 1}, "A": 2}),
        ("1e308", 1e308),
        ("1e-999", 0.0),
    ],
)
def test_json_is_read(text: str, value: object) -> None:
    for content in (text, text.encode(), b"\xef\xbb\xbf" + text.encode()):
        assert decode_json(content) == value


def test_as_deep_as_is_allowed() -> None:
    assert decode_json("[" * MAX_DEPTH + "]" * MAX_DEPTH) is not None
    assert decode_json('{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH) is not None


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        pytest.param('{"a": 1, "a": 1}', ".a", "'a' is there more than once", id="the same name twice"),
        pytest.param('{"a": 1, "b": 2, "b": 3}', ".b", "'b'", id="the second of two names"),
        pytest.param('{"x": [0, {"y": {"a": 1, "a": 2}}]}', ".x[1].y.a", "'a'", id="a name twice, inside"),
        pytest.param('{"a": 1, "\\u0061": 2}', ".a", "'a'", id="a name twice, once escaped"),
        pytest.param('{"a b": {"c.d": 1, "c.d": 2}}', "['a b']['c.d']", "'c.d'", id="names that are no identifiers"),
        pytest.param('{"a": NaN}', ".a", "NaN", id="NaN"),
        pytest.param("[-Infinity]", "[0]", "-Infinity", id="infinity"),
        pytest.param("[1, 1e999]", "[1]", "1e999 is too large", id="a decimal number that is infinite"),
        pytest.param('{"a": ' + "9" * 5_000 + "}", ".a", "5,000 characters", id="a long number"),
        pytest.param("0." + "1" * 200, "", "202 characters", id="a long decimal number"),
        pytest.param('["\\ud800"]', "[0]", "'\\ud800'", id="half of a pair as a value"),
        pytest.param('["a\\udfffb"]', "[0]", "half of a surrogate pair", id="half of a pair within a value"),
        pytest.param('"\\ude00\\ud83d"', "", "half of a surrogate pair", id="a pair the wrong way about"),
        pytest.param('{"x": {"\\ud800": 1}}', ".x", "'\\ud800'", id="half of a pair as a name"),
        pytest.param(b'["\xed\xa0\x80"]', "", "byte 3 is not UTF-8", id="half of a pair in the bytes"),
        pytest.param("[" * 65 + "]" * 65, "[0]" * 64, "64 deep", id="too deep by one"),
        pytest.param('{"a":' * 500 + "1" + "}" * 500, ".a" * 64, "64 deep", id="500 deep"),
        pytest.param("[" * 100_000, "", "64 deep", id="deeper than the decoder goes"),
        pytest.param('{"z":' + "[" * 500 + "]" * 500 + "}", ".z" + "[0]" * 63, "64 deep", id="lists 500 deep"),
        pytest.param(b"\xff\xfe", "", "byte 1 is not UTF-8", id="no UTF-8"),
        pytest.param('{"a": 1}'.encode("utf-16"), "", "UTF-8", id="UTF-16"),
        pytest.param("", "", "line 1, column 1: a value is needed", id="nothing"),
        pytest.param("{", "", "line 1, column 2: a name in double quotes", id="cut"),
        pytest.param("{'a': 1}", "", "line 1, column 2: a name in double quotes", id="single quotes"),
        pytest.param('{\n"a" 1}', "", "line 2, column 5: a ':' is needed", id="no colon"),
        pytest.param('{"a": 1 "b": 2}', "", "line 1, column 9: a ',' or the end", id="no comma"),
        pytest.param('{"a": 1} x', "", "line 1, column 10: the value has ended", id="more after the end"),
        pytest.param('"a\nb"', "", "line 1, column 3: a line break", id="a line break in a text"),
        pytest.param('"abc', "", "line 1, column 1: the text that begins here", id="no closing quote"),
        pytest.param('"\\x"', "", "line 1, column 2: a '\\'", id="an escape that is none"),
        pytest.param('"\\u12"', "", "line 1, column 3: four hexadecimal digits", id="a short escape"),
    ],
)  # fmt: skip
def test_what_is_refused_says_where_and_why(content: str | bytes, place: str, words: str) -> None:
    with pytest.raises(InvalidJsonError, match=re.escape(words)) as refused:
        decode_json(content)
    assert refused.value.place == place
    assert str(refused.value).startswith(place.removeprefix("."))
    assert len(refused.value.message) < 200
    assert "sys." not in str(refused.value)
    assert str(refused.value).encode()


def test_the_decoder_has_no_message_that_is_not_translated() -> None:
    """A new version of Python may word its messages anew; then the translation has to follow."""
    texts = [
        "",
        "{",
        "[1",
        '{"a"',
        '{"a":1',
        "{} x",
        '"',
        '"\n"',
        '"\\x"',
        '"\\',
        '"\\u1"',
        "[1,]",
        '{"a":1,}',
        "-",
        ".",
    ]
    for text in texts:
        with pytest.raises(json.JSONDecodeError) as raised:
            json.loads(text)
        with pytest.raises(InvalidJsonError) as refused:
            decode_json(text)
        assert raised.value.msg not in str(refused.value), sys.version


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(), parts, max_size=4),
)


@given(JSON)
def test_what_is_encoded_is_read_back(value: object) -> None:
    assert decode_json(json.dumps(value)) == value
    assert decode_json(json.dumps(value, ensure_ascii=False).encode("utf-8")) == value


@given(st.text(alphabet='{}[]",:\\ud8dcNaInfty019.eE- \n', max_size=60) | st.text() | st.binary())
def test_whatever_comes_is_read_or_refused_and_what_is_read_can_be_encoded(content: str | bytes) -> None:
    try:
        value = decode_json(content)
    except InvalidJsonError as refused:
        value = str(refused)
    assert json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
