"""Expat's events are the same whether it hands out our objects for names or not."""

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET
from xml.parsers import expat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan
from services.parser.formats.api.batches import digest
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.xml import events
from tests.unit.parser.formats.xml.files import DOCUMENTS, LIMITS, plan_of, read, template_of
from tests.unit.parser.formats.xml.test_refusals import REFUSED, SOUP

SMALL = ReaderLimits(max_record_bytes=64, max_columns=5)
NAMESPACES = b'<c xmlns="a" xmlns:p="b"><r p:x="1" x="2"><p:x>3</p:x><y xmlns="c" z="4"/></r><x/><r><p>5</p></r></c>'


def outcome(data: bytes, limits: ReaderLimits = LIMITS) -> object:
    try:
        plan = plan_of(data, template_of(), limits)
        return plan.columns, [(digest(batch), batch.issues) for batch in read(data, plan, limits)]
    except FileRefusedError as refused:
        return refused.code, refused.detail


def both(data: bytes, limits: ReaderLimits = LIMITS) -> tuple[object, object]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "SHARES_NAMES", False)
        without = outcome(data, limits)
    return outcome(data, limits), without


@given(DOCUMENTS, st.sampled_from([LIMITS, SMALL]))
@settings(max_examples=150)
def test_documents(document: ET.Element, limits: ReaderLimits) -> None:
    with_names, without = both(ET.tostring(document, "utf-8"), limits)
    assert with_names == without


@given(st.lists(st.sampled_from(SOUP), max_size=40).map(b"".join))
@settings(max_examples=200)
def test_anything(data: bytes) -> None:
    with_names, without = both(data)
    assert with_names == without


@pytest.mark.parametrize("data", [NAMESPACES, *(data for data, _, _ in REFUSED.values())], ids=["namespaces", *REFUSED])
def test_namespaces_and_what_is_refused(data: bytes) -> None:
    with_names, without = both(data)
    assert with_names == without


@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize(
    "row", ["<a{}/>", "<a><b{}/></a>", "<a><b c{}='1'/></a>", "<a xmlns='x' p{}='2'/>", "<a xmlns:p{}='x'/>"]
)
def test_names_are_counted(row: str, shares: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_MAX_NAMES_BYTES", 100_000)
    monkeypatch.setattr(events, "SHARES_NAMES", shares)
    rows = "".join(row.format(number) for number in range(5_000))
    for data in (
        f"<c>{rows}</c>",
        f"<c><a>{'<x/>' * 100_000}{rows}</a></c>",
    ):  # once in a row that is left out
        with pytest.raises(FileRefusedError, match="by line 1 the file has") as refused:
            read(data.encode(), ParsePlan(columns=("a",)), ReaderLimits(max_record_bytes=200_000))
        assert refused.value.code == "XML_TOO_MANY_NAMES"


@pytest.mark.parametrize("names", [(), ("names",)])
def test_it_is_found_out_whether_names_are_shared(names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    create: Callable[..., Any] = expat.ParserCreate

    def created(encoding: str, separator: str, *more: object) -> object:
        if more and not names:
            raise TypeError("takes at most 2 arguments")
        return create(encoding, separator)

    monkeypatch.setattr(expat, "ParserCreate", created)
    assert not events._expat_shares_names()
