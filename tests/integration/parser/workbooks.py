"""Workbooks that no library would write."""

import io
import zipfile
import zlib
from collections.abc import Mapping

CONTENT_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/></Types>'
)
ROOT = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
    'Target="xl/workbook.xml"/></Relationships>'
)
WORKBOOK = (
    '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
    '<sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>'
)
_RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    f'<Relationship Id="rId1" Type="{_RELATION}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{_RELATION}/sharedStrings" Target="sharedStrings.xml"/></Relationships>'
)


def sheet(rows: str) -> str:
    """A worksheet part."""
    return (
        '<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        f"<sheetData>{rows}</sheetData></worksheet>"
    )


def text_cell(reference: str, text: str) -> str:
    return f'<c r="{reference}" t="inlineStr"><is><t>{text}</t></is></c>'


def xlsx(sheet_xml: str | bytes, parts: Mapping[str, str | bytes] | None = None) -> bytes:
    """A workbook of one sheet, and whatever else stands in ``parts``."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in {
            "[Content_Types].xml": CONTENT_TYPES,
            "_rels/.rels": ROOT,
            "xl/workbook.xml": WORKBOOK,
            "xl/_rels/workbook.xml.rels": RELATIONS,
            "xl/worksheets/sheet1.xml": sheet_xml,
            **(parts or {}),
        }.items():
            archive.writestr(name, content)
    return out.getvalue()


def inflating_to(size: int, start: bytes, filler: bytes, end: bytes) -> bytes:
    """Deflated data of about ``size`` bytes without ever holding them."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    opening = squeeze.compress(start) + squeeze.flush(zlib.Z_FULL_FLUSH)
    block = filler * (1024 * 1024 // len(filler))
    once = squeeze.compress(block) + squeeze.flush(zlib.Z_FULL_FLUSH)
    again = squeeze.compress(block) + squeeze.flush(zlib.Z_FULL_FLUSH)
    return opening + once + again * (size // len(block)) + squeeze.compress(end) + squeeze.flush()


def with_part_deflated(workbook: bytes, name: str, deflated: bytes, claimed: int) -> bytes:
    """The workbook with a part replaced by deflated data, and a directory that claims another size."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in source.infolist():
            if entry.filename != name:
                archive.writestr(entry.filename, source.read(entry))
        placeholder = b"\0" * len(deflated)
        archive.writestr(zipfile.ZipInfo(name), placeholder, zipfile.ZIP_STORED)
        entry = archive.getinfo(name)
        entry.file_size, entry.compress_type = claimed, zipfile.ZIP_DEFLATED
        at = entry.header_offset
    data = bytearray(out.getvalue())
    data[at + 8 : at + 10] = (8).to_bytes(2, "little")
    data[at + 22 : at + 26] = claimed.to_bytes(4, "little")
    start = data.index(placeholder, at)
    data[start : start + len(deflated)] = deflated
    return bytes(data)
