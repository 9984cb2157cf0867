"""Files of before Unicode: read as they were written, or refused with what they could be; never as something else."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.errors import FileRefusedError
from libs.formats.encodings import web_codec
from services.parser.formats.api.encoding import WINDOW_BYTES, EncodingDetector, open_decoder

WESTERN = {
    "de": "Müller|Größe|Straße|Köln|Jürgen|Käthe|Weiß|Öl|Übung|Bäcker|5 €|Fußgänger|„Zitat“|§ 5",
    "fr": "Hélène|Besançon|François|Noël|Côte d\u2019Ivoire|garçon|à bientôt|où|œuvre|Cœur|déjà vu|créée|naïf|Été",
    "es": "José|Muñoz|Málaga|María|León|Año|¿Qué tal?|¡Hola!|Íñigo|pingüino|n.º 5|2ª planta",
    "it": "Città|perché|più|è vero|Nicolò|lunedì|virtù|Forlì",
    "sv": "Åsa|Malmö|Björn|Östersund|Gävle|Växjö",
    "da": "Søren|Århus|Ærø|København|Jørgensen|Næstved",
    "pt": "João|São Paulo|Conceição|Brasília|avó|maçã|três|ações",
    "nl": "één|België|Zoë|café|geïnd",
    "fi": "Jyväskylä|Hämeenlinna|Mäki|Töölö|Äänekoski",
    "en": "café|£5|don\u2019t|“quoted”|naïve|\u2013 dash|©2024|Beyoncé|20°C|Acme® Inc|5µm",
}
TEXTS = [
    ("cp1250", "imię,miasto\nŁukasz,Łódź\nAgnieszka,Kraków\nZbigniew,Gdańsk\nMałgorzata,Poznań\n"),
    ("iso8859-2", "imię,miasto\nŁukasz,Łódź\nAgnieszka,Kraków\nŚwięty,Gdańsk\nMałgorzata,Poznań\n"),
    ("cp1250", "jméno,město\nDvořák,Plzeň\nNováková,Děčín\nJiří,České Budějovice\n"),
    ("cp1250", "név,város\nErzsébet,Győr\nLászló,Szegő\nÖdön,Hódmezővásárhely\n"),
    ("cp1251", "имя,город\nИван Петров,Москва\nАнна,Тверь\n"),
    ("cp1251", "date,payee\n2024-03-01,Магазин «Колос»\n2024-03-02,Оплата по счёту № 17\n"),
    ("cp1251", "назва,місто\nЄвген,Київ\nІгор,Харків\n"),
    ("cp1251", "име,град\nГеорги,София\nИвана,Пловдив\n"),
    ("koi8-r", "имя,город\nИван Петров,Москва\nАнна,Тверь\n"),
    ("iso8859-5", "имя,город\nИван Петров,Москва\nАнна,Тверь\n"),
    ("cp866", "имя,город\nИван Петров,Москва\nАнна,Тверь\n"),
    ("mac_cyrillic", "имя,город\nИван Петров,Москва\nАнна,Тверь\n"),
    ("cp1253", "όνομα,πόλη\nΓιώργος,Αθήνα\nΕλένη,Θεσσαλονίκη\n"),
    ("iso8859-7", "όνομα,πόλη\nΓιώργος,Αθήνα\nΕλένη,Θεσσαλονίκη\n"),
    ("cp1254", "isim,şehir\nYılmaz,İstanbul\nGüneş,Eskişehir\nÇağrı,Muğla\n"),
    ("cp1255", "שם,עיר\nיוסי,תל אביב\nרות,חיפה\n"),
    ("cp1256", "اسم,مدينة\nمحمد,القاهرة\nفاطمة,دمشق\n"),
    ("cp1257", "vardas,miestas\nŽydrūnas,Šiauliai\nŪla,Panevėžys\n"),
    ("cp874", "ชื่อ,เมือง\nสมชาย,กรุงเทพ\n"),
    ("cp932", "名前,都市\n田中太郎,東京\n鈴木,大阪市\n"),
    ("cp932", "name,city\nタナカ,東京\n髙橋①,横浜\n"),
    ("cp932", "name\nﾀﾅｶ\nｽｽﾞｷ\n"),
    ("euc_jp", "名前,都市\n田中太郎,東京\n鈴木,大阪市\n"),
    ("iso2022_jp", "名前,都市\n田中太郎,東京\n鈴木,大阪市\n"),
    ("cp949", "이름,도시\n김철수,서울\n박영희,부산\n"),
    ("gb18030", "姓名,城市\n王伟,北京\n李娜,上海\n"),
    ("gb18030", "name,city\nzhang,北京\n"),
    ("big5", "姓名,城市\n王小明,臺北\n陳美玲,高雄\n"),
    ("mac_roman", "name,city\nMüller,Köln\nGroß,Zürich\n"),
    ("mac_roman", "nom,ville\nHélène,Besançon\nRené,Orléans\n"),
    ("mac_roman", "name\nGroß\n"),
    ("cp850", "name,city\nMüller,Köln\nSchäfer,Zürich\n"),
    ("cp850", "nom,ville\nHélène,Besançon\nRené,Orléans\n"),
    ("cp850", "nombre,ciudad\nJosé Muñoz,Málaga\nMaría,León\n"),
    ("cp437", "name,city\nMüller,Köln\nSchäfer,Zürich\n"),
    ("cp1252", "id,note\n0,éé;é\n1,éé\n"),
    ("iso8859-15", "nom,prix\nCœur,5 €\nÉté,7 €\n"),
    ("utf-16-le", "имя,город\nИван,Москва\nАнна,Тверь\n"),
    ("utf-16-be", "名前,都市\n田中太郎,東京\n鈴木,大阪市\n"),
    ("utf-32-le", "größe,ort\nein,Köln\n"),
    ("utf-32-be", "größe,ort\nein,Köln\n"),
]
READ = {
    "cp1250",
    "iso8859-2",
    "cp1251",
    "koi8-r",
    "iso8859-5",
    "cp866",
    "cp1253",
    "cp1256",
    "cp1255",
    "cp874",
    "euc_jp",
}
"""Encodings of which every text above is read, not refused."""


def detect(data: bytes, piece: int = 1 << 20) -> str:
    detector = EncodingDetector()
    for start in range(0, len(data), piece):
        if (found := detector.feed(data[start : start + piece])) is not None:
            return found.name
    return detector.close().name


def read(data: bytes) -> str | FileRefusedError:
    try:
        return open_decoder(detect(data)).decode(data, final=True)
    except FileRefusedError as refused:
        return refused


@pytest.mark.parametrize("language", WESTERN)
@pytest.mark.parametrize("encoding", ["cp1252", "utf-8"])
def test_ordinary_western_files_are_read_without_ado(language: str, encoding: str) -> None:
    chance = random.Random(language)
    words = WESTERN[language].split("|")
    for _ in range(60):
        picked = [chance.choice(words) for _ in range(chance.choice([1, 1, 2, 3, 5, 12]))]
        text = "id,name,city\n" + "".join(f"{number},{word},Berlin\n" for number, word in enumerate(picked))
        assert read(text.encode(encoding)) == text, picked


@pytest.mark.parametrize(("encoding", "text"), TEXTS)
def test_other_encodings_are_read_or_refused_but_never_as_something_else(encoding: str, text: str) -> None:
    found = read(text.encode(encoding))
    if isinstance(found, FileRefusedError):
        assert encoding not in READ or "Győr" in text
        assert found.code == "UNKNOWN_ENCODING"
        assert "name its encoding in the template" in found.detail
    else:
        assert found == text


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(TEXTS), st.randoms(use_true_random=False), st.integers(1, 50))
def test_it_depends_on_the_bytes_alone(written: tuple[str, str], chance: random.Random, piece: int) -> None:
    encoding, text = written
    header, *rows = text.splitlines()
    chance.shuffle(rows)
    data = "\n".join([header, *rows, ""]).encode(encoding)
    outcomes = []
    for size in (piece, len(data)):
        try:
            outcomes.append(detect(data, size))
        except FileRefusedError as refused:
            outcomes.append(refused.detail)
    assert outcomes[0] == outcomes[1]
    again = read(data)
    assert isinstance(again, FileRefusedError) or again.encode(encoding) == data


@pytest.mark.parametrize(("encoding", "word"), [("cp1252", "Müller"), ("cp1251", "Иван Петров"), ("utf-8", "Müller")])
def test_the_first_foreign_byte_may_come_megabytes_later(encoding: str, word: str) -> None:
    data = b"id,name\n" * WINDOW_BYTES + f"1,{word}\n".encode(encoding)
    assert detect(data, 1_000) == detect(data) == encoding


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("latin-1", "cp1252"),
        ("ISO-8859-1", "cp1252"),
        ("ANSI", "cp1252"),
        ("iso-8859-9", "cp1254"),
        ("Shift_JIS", "cp932"),
        ("windows-31j", "cp932"),
        ("gb2312", "gb18030"),
        ("euc-kr", "cp949"),
        ("big5", "big5hkscs"),
        ("macroman", "mac-roman"),
        ("windows-1251", "cp1251"),
        ("iso-8859-2", "iso8859-2"),
        ("utf8", "utf-8"),
        ("klingon", None),
    ],
)
def test_labels_mean_what_they_mean_on_the_web(label: str, codec: str | None) -> None:
    assert (None if codec is None else web_codec(codec)) == codec
    assert web_codec(label) == codec


@pytest.mark.parametrize("encoding", ["iso8859-2", "iso8859-15", "cp932", "cp1252", "koi8-r", "mac_roman", "cp850"])
def test_no_byte_becomes_a_control_character(encoding: str) -> None:
    text = open_decoder(encoding).decode(bytes(range(0x80, 0xA0)), final=True)
    assert not any("\x80" <= character <= "\x9f" for character in text)
