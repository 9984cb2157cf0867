"""The templates, rows and messages that a captured stack is given."""

from collections.abc import Sequence
from typing import Any

from tests.compatibility.snapshots import Document

BATCH_ROWS = 5
POISON_KEY = b"poison"
FORMATS = ("csv", "json", "xml", "xlsx", "fixed_width")

ROWS = b"""sku,amount,day,color
S1,1.50,2024-02-29,red
S2,2.50,2024-03-01,
S3,much,2024-03-02,blue
S4,4.50,2024-03-03,red
S5,5.50,2024-03-04,red
S2,6.50,2024-03-05,green
S6,7.50,2024-03-06,red
S7,8.50,2024-03-07,red,one cell too many
S8,9.50,2024-03-08,red
S9,10.50,2024-03-09,red
"""
"""Ten rows: 3 and 8 are to be rejected and, where ``sku`` is a key, 2 is superseded by 6."""
BASE = b"""sku,amount,day,color
S1,1.50,2024-02-29,red
S5,0.50,2023-01-01,old
S9,0.50,2023-01-01,old
"""
"""What the target holds before ``ROWS`` are upserted: S1 stays as it is, S5 and S9 are changed."""
FIELDS: Sequence[Document] = (
    {"source": "sku", "target": "sku", "required": True, "transform": "trim"},
    {"source": "amount", "target": "amount", "type": "number"},
    {"source": "day", "target": "day", "type": "date"},
)

EVERYTHING: Document = {
    "name": "everything",
    "description": "every rule, every transform, every member that the public surface takes",
    "file_type": "csv",
    "delimiter": ";",
    "encoding": "utf-8",
    "has_header": True,
    "skip_rows": 1,
    "import_mode": "upsert",
    "upsert_key": "sku",
    "default_values": {"origin": "erp", "rank": 7, "share": 0.5, "checked": True, "nothing": None},
    "required_columns": ["SKU", "Region"],
    "include_unmatched_columns": True,
    "default_date_order": "mdy",
    "default_decimal_style": "comma",
    "default_region": "DE",
    "invalid_rows": "keep",
    "dark_mode": True,
    "webhook_enabled": True,
    "field_mapping": [
        {
            "source": "SKU",
            "target": "sku",
            "required": True,
            "transform": "trim",
            "transformations": [{"type": "upper"}],
            "validators": [
                {"type": "unique", "fields": ["region"], "against_target": True, "message": "taken"},
                {"type": "min_length", "value": 2},
                {"type": "max_length", "value": 20},
                {"type": "regex", "pattern": "[A-Z][0-9]+"},
            ],
        },
        {
            "target": "region",
            "label": "Region",
            "description": "where it is sold",
            "aliases": ["area", "zone"],
            "validators": [{"type": "enum", "values": ["north", "south"]}],
        },
        {"source": "Name", "target": "name", "transformations": [{"type": "capitalize"}]},
        {"source": "Nick", "target": "nick", "transformations": [{"type": "remove_special_chars"}, {"type": "lower"}]},
        {
            "source": "Amount",
            "target": "amount",
            "transform": "decimal:2",
            "decimal_style": "comma",
            "validators": [{"type": "min", "value": 0}, {"type": "max", "value": 1e6}],
        },
        {"source": "Count", "target": "count", "transform": "integer"},
        {"source": "Day", "target": "day", "type": "date", "date_order": "dmy"},
        {
            "source": "Until",
            "target": "until",
            "transform": "date:DD.MM.YYYY",
            "validators": [{"type": "compare", "operator": "ge", "field": "day"}],
        },
        {"source": "Mail", "target": "mail", "type": "email"},
        {
            "source": "Phone",
            "target": "phone",
            "type": "phone",
            "region": "AT",
            "transformations": [{"type": "normalize_phone", "region": "AT"}],
            "validators": [{"type": "required_if", "field": "mail", "values": ["call@example.com"]}],
        },
        {"source": "Web", "target": "web", "type": "url"},
        {"source": "Size", "target": "size", "type": "select", "options": ["S", "M", "L"]},
        {
            "source": "Code",
            "target": "code",
            "type": "custom_regex",
            "validators": [{"type": "regex", "pattern": "[0-9]{3}"}],
        },
        {"source": "Active", "target": "active", "transform": "boolean"},
        {
            "source": "Note",
            "target": "note",
            "transformations": [{"type": "replace", "find": "-", "replace": "/"}, {"type": "default", "value": "none"}],
        },
        {"target": "channel", "transform": "constant:file"},
        {"target": "both", "transform": "concat:Name,Nick"},
        {
            "source": "Written",
            "target": "written",
            "transformations": [{"type": "normalize_date", "format": "YYYY-MM-DD"}],
        },
    ],
}
EVERYTHING_ROWS = b"""exported by a test
SKU;Region;Name;Nick;Amount;Count;Day;Until;Mail;Phone;Web;Size;Code;Active;Note;Written;Rest
s1;north;ann lee;An-N;1.234,50;3;03.04.2025;04.04.2025;a@example.com;01 5125555;https://example.com;S;123;yes;a-b;3.4.2025;x
s2;south;bob;B_b;0,01;4;30.04.2025;01.05.2025;;;;M;456;no;;31.12.2025;
s3;east;cem;;-1;x;nothing;01.01.2020;call@example.com;;ftp:/;XL;12;maybe;c;soon;z
s1;north;dan;;2,00;1;01.05.2025;02.05.2025;;;;L;789;1;;;
"""

MODEL_ONLY: Sequence[Document] = (
    {
        "name": "in the model only: sync",
        "target_resource": "model_only",
        "mode": "sync",
        "upsert_key": "sku",
        "scope_filter": {"region": "north", "rank": 1, "share": 0.5, "open": True, "none": None},
        "fields": [{"name": "sku", "column": "SKU"}],
        "source": {"file_type": "excel", "sheet": "Data"},
        "invalid_rows": "block",
        "include_data_in_webhook": True,
        "webhook_data_sample_size": 5,
    },
    {
        "name": "in the model only: deleting rows",
        "target_resource": "model_only",
        "mode": "upsert",
        "upsert_key": "sku",
        "delete_column": "gone",
        "fields": [{"name": "sku", "column": "SKU"}],
        "source": {
            "file_type": "fixed_width",
            "column_widths": [{"name": "SKU", "width": 8}, {"width": 4}],
            "width_unit": "bytes",
        },
        "auto_execute": True,
    },
    {
        "name": "in the model only: update",
        "target_resource": "model_only",
        "mode": "update",
        "upsert_key": "sku",
        "fields": [{"name": "sku"}],
        "source": {"sheet": 2},
    },
)
"""Templates that the models of the release read although no vocabulary of it makes them."""


def template_body(name: str, **changes: Any) -> Document:  # noqa: ANN401 - members of a JSON document
    return {"name": name, "target_resource": name, "field_mapping": list(FIELDS), **changes}
