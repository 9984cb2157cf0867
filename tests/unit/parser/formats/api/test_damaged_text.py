"""Text that was damaged before the file was written is told, and read as it stands."""

import pytest

from libs.contracts.templates import Template
from services.parser.formats.api.damaged_text import damage
from tests.reading import read_file

TEMPLATE = Template.model_validate({"name": "t", "target_resource": "t", "fields": [{"name": "name"}]})


@pytest.mark.parametrize(
    "word", ["Müller", "Köln", "Ærø", "naïve", "Łódź", "Ελλάδα", "Москва", "山田", "5 €", "\u2019tis", "à", "£5"]
)
def test_what_was_encoded_twice(word: str) -> None:
    for codec in ("cp1252", "latin-1"):
        try:
            twice = word.encode().decode(codec)
        except UnicodeDecodeError:
            continue
        said = damage(f"1,a\n2,{twice}\n")
        assert said is not None
        assert "encoded twice" in said
        if " " not in word:
            assert repr(word) in said or codec == "latin-1"


@pytest.mark.parametrize(
    "text",
    [
        "Müller", "Ærø", "NÃO", "São Paulo", "Đà Nẵng", "ÂGE", "Ã", "¿Qué?", "±5 °C", "£5", "Ñandú", "Żółć", "Ünïcödé",
        "Москва", "Ελλάδα", "山田太郎", "שלום", "«Ça»", "»Über«", "“É”", "50 €", "Þór", "ÀÉÎ", "Ô, ", "café™", "É®",
    ],
)  # fmt: skip
def test_sound_text(text: str) -> None:
    assert damage(text) is None


def test_characters_that_were_lost() -> None:
    assert (
        damage("a,M\ufffdller,b")
        == "characters of the text were lost before, as in 'M\ufffdller'; export the file again"
    )


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_run_is_told(mark: str) -> None:
    found = read_file(f"{mark}name\nMÃ¼ller\n".encode(), TEMPLATE)
    assert "; texts seem to be encoded twice, 'MÃ¼ller' for 'Müller'" in found.plan.notes[0]
    assert found.cells() == [("MÃ¼ller",)]


def test_a_long_text_of_doubtful_letters_is_looked_at_once() -> None:
    assert damage("Ã\xa0" * 30_000 + "Ã,") is not None
    assert damage("Ã" * 60_000) is None
    assert damage("Ãé" * 30_000) is None
