"""The same cells give the same records, whatever format they come in."""

import pytest

from libs.contracts.templates import Template
from services.gateway.http.engine.template_reading import read_template
from services.gateway.templates.judging import TemplateJudge
from services.validator.domain.checking import check_batch
from services.validator.domain.compilation import compile_template
from tests.reading import read_file
from tests.renderings import FORMATS, rendered, source_of

HEADER = ("sku", "name", "phone", "email", "site", "active", "flag", "size")
ROWS = [
    ("4711", "Ada", "\u202a+46 70 174 06 05\u202c", "Ada@EXAMPLE.com", "https://a.example", "Ja", "J", "Größe"),
    ("00042", "\u00a0\u200b", "0701740606", "mailto:b@x.de", "https://b.example", "NEIN", "N", "S"),
    ("Québec-7", "Cy", "N/A", "c@bücher.de", "-", "WAHR", "j", "Gro\u0308ße"),
    ("Que\u0301bec-7", "Di", "070-174\u00a006\u00a008", "n/a", "", "FALSCH", "n", "NULL"),
    ("SKU\u00a01", "Ed", "070-174 06 09 / 070-174 06 10", "e@x.de, f@x.de", "www.x.de", "vielleicht", "Nein?", "XL"),
    ("00042\u200b", "", "+46 (0)70 174 06 10", "Fi <fi@x.de>", "https://f.example/é", "oui", "J", "s"),
]
ERRORS = {
    2: ["REQUIRED"],
    5: ["INVALID_PHONE", "INVALID_EMAIL", "INVALID_URL", "INVALID_BOOLEAN", "INVALID_BOOLEAN", "INVALID_OPTION"],
    6: ["REQUIRED", "INVALID_OPTION"],
}
VALUES = [
    ("4711", "Ada", "+46 70 174 06 05", "Ada@example.com", "https://a.example", True, True, "Größe"),
    ("Québec-7", "Cy", None, "c@bücher.de", None, True, True, "Größe"),
    ("Québec-7", "Di", "070-174\u00a006\u00a008", None, None, False, False, None),
]


def template(**source: object) -> Template:
    mapping = [
        {"source": "sku", "target": "sku"},
        {"source": "name", "target": "name", "required": True},
        {"source": "phone", "target": "phone", "type": "phone", "region": "SE"},
        {"source": "email", "target": "email", "type": "email"},
        {"source": "site", "target": "site", "type": "url"},
        {"source": "active", "target": "active", "type": "boolean"},
        {"source": "flag", "target": "flag", "type": "boolean"},
        {"source": "size", "target": "size", "type": "select", "options": ["S", "Größe"]},
    ]
    body = {"name": "t", "target_resource": "things", "import_mode": "upsert", "upsert_key": "sku", **source}
    return read_template({**body, "field_mapping": mapping}, TemplateJudge()).approved.template


@pytest.mark.parametrize("name", [*FORMATS, "tsv"])
def test_the_same_cells_give_the_same_records(name: str) -> None:
    kind = "csv" if name == "tsv" else name
    content = rendered(kind, HEADER, ROWS)
    if name == "tsv":
        content = "\r\n".join("\t".join(row) for row in (HEADER, *ROWS)).encode()
    read = read_file(content, template(**source_of(kind, HEADER, ROWS)))
    compiled = compile_template(template(**source_of(kind, HEADER, ROWS)), read.plan)
    checked = check_batch(compiled, read.table)
    assert read.plan.letter_pairs == {"flag": "jn"}
    errors = {row.row: [str(error.code) for error in row.errors] for row in checked.rejected}
    assert errors == ERRORS
    assert list(zip(*(checked.valid[column].to_pylist() for column in HEADER), strict=True)) == VALUES
    assert checked.keys is not None
    assert checked.keys["sku"].to_pylist() == ["4711", "Québec-7", "Québec-7"]
