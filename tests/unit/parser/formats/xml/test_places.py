"""Where the rows of an XML file are, by the template or by the file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.errors import FileRefusedError
from tests.unit.parser.formats.xml.files import Row, plan_of, read, rows_of, template_of

ITEMS = "<item><title>a</title><price>1</price></item><item><title>b</title><price>2</price></item>"
BOTH: list[Row] = [{"title": "a", "price": "1"}, {"title": "b", "price": "2"}]
ORDER = "<orders><order><id>1</id><line><sku>a</sku></line><line><sku>b</sku></line></order></orders>"
SOAP = 'xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"'
ATOM = 'xmlns="http://www.w3.org/2005/Atom"'

FOUND: dict[str, tuple[str, tuple[str, ...], list[Row]]] = {
    "rows in the root": (f"<c>{ITEMS}</c>", ("title",), BOTH),
    "a feed": (f"<rss><channel><title>Shop</title>{ITEMS}</channel></rss>", ("title",), BOTH),
    "a feed of one item": (
        "<rss><channel><title>Shop</title><item><title>a</title></item></channel></rss>",
        ("title",),
        [{"title": "a"}],
    ),
    "a feed without items": ("<rss><channel><title>Shop</title></channel></rss>", ("title",), []),
    "a feed with an image": (
        f"<rss><channel><image><title>Logo</title></image>{ITEMS}</channel></rss>",
        ("title",),
        BOTH,
    ),
    "atom, whose links are repeated": (
        f'<feed {ATOM}><title>t</title><link href="x"/><link href="y"/><entry><title>a</title></entry></feed>',
        ("title",),
        [{"title": "a"}],
    ),
    "metadata before the rows": (f"<c><made>2024</made><by>me</by>{ITEMS}</c>", ("title", "price"), BOTH),
    "metadata behind the rows": (f"<c>{ITEMS}<trailer><count>2</count></trailer></c>", ("title",), BOTH),
    "metadata between the rows": (
        "<c><item><title>a</title></item><page>2</page><item><title>b</title></item></c>",
        ("title",),
        [{"title": "a"}, {"title": "b"}],
    ),
    "a container": (f"<c><items>{ITEMS}</items></c>", ("title",), BOTH),
    "a container beside metadata": (f"<c><name>x</name><items>{ITEMS}</items></c>", ("title", "price"), BOTH),
    "containers of containers": (f"<a><b><c><d>{ITEMS}</d></c></b></a>", ("title",), BOTH),
    "a page": (
        f"<c><page>{ITEMS}</page></c>",
        ("price",),
        BOTH,
    ),
    "attributes of the root": (f'<c count="2" title="Export">{ITEMS}</c>', ("title",), BOTH),
    "attributes alone": ('<rows><row id="1"/><row id="2"/></rows>', ("id",), [{"id": "1"}, {"id": "2"}]),
    "an envelope": (
        f"<s:Envelope {SOAP}><s:Header><token>t</token></s:Header><s:Body><R>{ITEMS}</R></s:Body></s:Envelope>",
        ("title",),
        BOTH,
    ),
    "an envelope around one": (
        f"<s:Envelope {SOAP}><s:Header/><s:Body><R><title>a</title><price>1</price></R></s:Body></s:Envelope>",
        ("title", "price"),
        [BOTH[0]],
    ),
    "prefixes": (
        '<p:c xmlns:p="urn:p"><p:m>1</p:m><p:r><p:a>1</p:a></p:r><p:r><p:a>2</p:a></p:r></p:c>',
        ("a",),
        [{"a": "1"}, {"a": "2"}],
    ),
    "lists within the rows": (
        "<c><r><t>1</t><t>2</t><i><s>1</s></i><i><s>2</s></i></r><r><t>3</t></r></c>",
        ("t",),
        [{"t": '["1","2"]', "i.s": '["1","2"]'}, {"t": "3"}],
    ),
    "one order, its own columns wanted": (ORDER, ("id", "line.sku"), [{"id": "1", "line.sku": '["a","b"]'}]),
    "one order, the columns of its lines wanted": (ORDER, ("sku",), [{"sku": "a"}, {"sku": "b"}]),
    "what surrounds the list is wanted": (
        f"<c><made>2024</made>{ITEMS}</c>",
        ("made",),
        [{"made": "2024", "item.title": '["a","b"]', "item.price": '["1","2"]'}],
    ),
    "one of two lists": (
        "<c><a><x>1</x></a><a><x>2</x></a><b><y>3</y></b><b><y>4</y></b></c>",
        ("y",),
        [{"y": "3"}, {"y": "4"}],
    ),
    "one record": ("<person><name>A</name><phone>1</phone></person>", ("name",), [{"name": "A", "phone": "1"}]),
    "one record of several parts": (
        "<invoice><number>1</number><customer><name>x</name></customer></invoice>",
        ("number", "customer.name"),
        [{"number": "1", "customer.name": "x"}],
    ),
    "one record that repeats a text": (
        "<person><name>A</name><phone>1</phone><phone>2</phone></person>",
        ("name", "phone"),
        [{"name": "A", "phone": '["1","2"]'}],
    ),
    "one row": ("<people><person><name>A</name></person></people>", ("name",), [{"name": "A"}]),
    "texts": ("<r><v>1</v><v>2</v></r>", ("v",), [{"v": "1"}, {"v": "2"}]),
    "empty and missing": (
        '<c><m/><r><a/></r><r/><r x="1"><a>1</a></r></c>',
        ("a",),
        [{"a": ""}, {}, {"x": "1", "a": "1"}],
    ),
}


@pytest.mark.parametrize(("text", "columns", "expected"), FOUND.values(), ids=FOUND)
def test_found(text: str, columns: tuple[str, ...], expected: list[Row]) -> None:
    template = template_of(*columns)
    plan = plan_of(text.encode(), template)
    assert rows_of(read(text.encode(), plan), plan.columns) == expected


@pytest.mark.parametrize(
    ("text", "columns", "candidates"),
    [
        (f"<feed><title>T</title><items>{ITEMS}</items></feed>", ("title",), ["'feed/items/item'", "'feed'"]),
        (ORDER.replace("sku", "id"), ("id",), ["'orders/order/line'", "'orders/order'"]),
        ("<c><a><x>1</x></a><a><x>2</x></a><b><x>3</x></b><b><x>4</x></b></c>", ("x",), ["'c/a'", "'c/b'"]),
        ("<c><r><x>1</x></r><g><r><x>2</x></r><r><x>3</x></r></g></c>", ("x",), ["'c/g/r'", "'c/r'"]),
    ],
)
def test_unclear(text: str, columns: tuple[str, ...], candidates: list[str]) -> None:
    with pytest.raises(FileRefusedError, match="RECORDS_UNCLEAR") as refused:
        plan_of(text.encode(), template_of(*columns))
    for each in (*candidates, "record_path"):
        assert each in refused.value.detail


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("feed/items/item", BOTH),
        ("/feed/items/item", BOTH),
        ("items/item", BOTH),
        ("item", BOTH),
        ("p:feed/p:items/p:item", BOTH),
        ("feed/items/*", BOTH),
        ("*/items/item", BOTH),
        (".", [{"title": "T", "items.item.title": '["a","b"]', "items.item.price": '["1","2"]'}]),
        ("feed", [{"title": "T", "items.item.title": '["a","b"]', "items.item.price": '["1","2"]'}]),
        ("feed/items", [{"item.title": '["a","b"]', "item.price": '["1","2"]'}]),
        ("feed/items/nothing", []),
    ],
)
def test_told(path: str, expected: list[Row]) -> None:
    data = f"<feed><title>T</title><items>{ITEMS}</items></feed>".encode()
    plan = plan_of(data, template_of(record_path=path))
    assert rows_of(read(data, plan), plan.columns) == expected


@pytest.mark.parametrize("path", ["feed/list/item", "feed.items.item", "list/item", "entry"])
def test_a_path_that_leads_nowhere_is_refused_with_what_there_is(path: str) -> None:
    with pytest.raises(FileRefusedError, match="NO_RECORDS") as refused:
        plan_of(f"<feed><items>{ITEMS}</items></feed>".encode(), template_of("title", record_path=path))
    assert "'feed/items/item'" in refused.value.detail


def test_a_path_to_elements_of_which_there_are_none_gives_no_rows() -> None:
    plan = plan_of(b"<feed><made>2024</made></feed>", template_of("title", record_path="feed/item"))
    assert rows_of(read(b"<feed><made>2024</made></feed>", plan), plan.columns) == []


def test_the_run_says_what_is_not_read() -> None:
    plan = plan_of(f"<c><made>2024</made>{ITEMS}</c>".encode(), template_of("title"))
    assert "rows: the elements c/item; not read is what stands beside them: made" in plan.notes


def test_an_element_of_another_name_far_into_the_file_is_not_lost() -> None:
    data = b"<c>" + b"<r><a>1</a></r>" * 80_000 + b"<other><a>2</a></other><r><a>3</a></r></c>"
    plan = plan_of(data, template_of("a"), batch_rows=5_000)
    *_, before, stray, after = rows_of(read(data, plan), plan.columns)
    assert (before, stray, after) == ({"a": "1"}, "UNEXPECTED_ELEMENT", {"a": "3"})
    told = plan_of(data, template_of("a", record_path="c/r"), batch_rows=5_000)
    assert rows_of(read(data, told), told.columns)[-2:] == [{"a": "1"}, {"a": "3"}]


@given(st.integers(2, 6), st.integers(0, 3), st.permutations(["head", "rows", "tail"]), st.integers(1, 200))
def test_the_place_does_not_depend_on_order_or_depth(rows: int, depth: int, order: list[str], cut: int) -> None:
    parts = {
        "head": "<made>x</made>",
        "rows": "".join(f"<r><a>{number}</a></r>" for number in range(rows)),
        "tail": "<sum><total>9</total></sum>",
    }
    text = "".join(f"<l{level}>" for level in range(depth))
    text += f"<c>{''.join(parts[each] for each in order)}</c>"
    text += "".join(f"</l{level}>" for level in reversed(range(depth)))
    plan = plan_of(text.encode(), template_of("a"))
    expected = [{"a": str(number)} for number in range(rows)]
    assert rows_of(read(text.encode(), plan, cuts=(cut,)), plan.columns) == expected
