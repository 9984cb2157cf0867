"""Workbooks as XML, for what no library writes."""

import io
import zipfile
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_STRICT = "http://purl.oclc.org/ooxml/spreadsheetml/main"
_LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_ODS = " ".join(
    f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for prefix, name in {"office": "office", "table": "table", "text": "text", "style": "style"}.items()
)


def text_cell(text: str, reference: str = "") -> str:
    """A cell of a text that stands in the sheet."""
    place = f' r="{reference}"' if reference else ""
    return f'<c{place} t="inlineStr"><is><t xml:space="preserve">{escape(text)}</t></is></c>'


def raw_xlsx(
    rows: str,
    *,
    formats: Sequence[str | int] = (),
    shared: Sequence[str] = (),
    date_1904: bool = False,
    strict: bool = False,
) -> bytes:
    """A workbook of one sheet ``S``.

    Args:
        rows: what stands in ``sheetData``.
        formats: codes, or numbers of built-in ones; the first is that of style 1.
        shared: contents of the ``si`` elements.
        date_1904: whether it counts from 1904.
        strict: whether its namespaces are those of Strict Open XML.
    """
    main = _STRICT if strict else _MAIN
    codes = {code: 164 + at for at, code in enumerate(dict.fromkeys(each for each in formats if isinstance(each, str)))}
    known = "".join(f'<numFmt numFmtId="{number}" formatCode={quoteattr(code)}/>' for code, number in codes.items())
    numbers = [0, *(codes[each] if isinstance(each, str) else each for each in formats)]
    styles = "".join(f'<xf numFmtId="{number}" applyNumberFormat="1"/>' for number in numbers)
    links = {"worksheet": "worksheets/sheet1.xml", "styles": "styles.xml", "sharedStrings": "sharedStrings.xml"}
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_TYPES}"/>',
        "_rels/.rels": _relations({"officeDocument": "xl/workbook.xml"}),
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{_LINKS}"><workbookPr date1904="{int(date_1904)}"/>'
        '<sheets><sheet name="S" sheetId="1" r:id="rId0"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": _relations(links),
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>',
        "xl/styles.xml": f'<styleSheet xmlns="{main}"><numFmts>{known}</numFmts><cellXfs>{styles}</cellXfs>'
        "</styleSheet>",
        "xl/sharedStrings.xml": f'<sst xmlns="{main}">{"".join(f"<si>{each}</si>" for each in shared)}</sst>',
    }
    return _archive(parts)


def _relations(links: dict[str, str]) -> str:
    listed = "".join(
        f'<Relationship Id="rId{at}" Type="{_LINKS}/{kind}" Target="{target}"/>'
        for at, (kind, target) in enumerate(links.items())
    )
    return f'<Relationships xmlns="{_RELATIONS}">{listed}</Relationships>'


def raw_ods(rows: str, columns: str = "") -> bytes:
    """An OpenDocument of one table ``S``."""
    table = f'<table:table table:name="S">{columns}{rows}</table:table>'
    return _archive(
        {
            "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
            "content.xml": f'<office:document-content {_ODS} xmlns:calcext="urn:calcext"><office:body>'
            f"<office:spreadsheet>{table}</office:spreadsheet></office:body></office:document-content>",
            "META-INF/manifest.xml": "<manifest/>",
        }
    )


def _archive(parts: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()
