"""Templates of the model, the files that they read, and what they make of cells."""

import csv
import io
import unicodedata
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

Value = str | Decimal | None
Error = tuple[str | None, str]
"""The field and the code of what is wrong with a row."""

DELETING = {"": False, "no": False, "yes": True, "delete": True, "1": True}
HEADERS = ("sku", "name", "email", "price", "source", "memo", "gone")


@dataclass(frozen=True)
class Spec:
    """A template.

    Attributes:
        mode: ``append``, ``upsert``, ``update`` or ``sync``.
        number_key: whether ``sku`` is a number; the same in all templates of an example.
        unique: whether ``email`` is: ``file``, ``target`` or not at all.
        unique_key: whether ``sku`` has a rule ``unique`` besides.
        name_required: whether ``name`` is.
        deletes: whether the column ``gone`` says which records are deleted.
        invalid_rows: ``skip``, ``keep`` or ``block``.
        source: ``default`` (a default value of the template), ``column`` or ``none``.
        memo: whether columns without a field are kept under ``extra``.
        price_default: whether an empty ``price`` becomes 7.
    """

    mode: str
    number_key: bool = False
    unique: str | None = None
    unique_key: bool = False
    name_required: bool = False
    deletes: bool = False
    invalid_rows: str = "skip"
    source: str = "none"
    memo: bool = False
    price_default: bool = False

    @property
    def keyed(self) -> bool:
        return self.mode != "append"

    @property
    def fields(self) -> list[str]:
        return ["sku", "name", "email", "price", *(["source"] if self.source == "column" else [])]

    @property
    def sets(self) -> list[str]:
        return [*self.fields, *(["source"] if self.source == "default" else [])]

    @property
    def asked_keys(self) -> tuple[str, ...]:
        """The fields whose values no two live records may share once the template is saved."""
        return (*(["sku"] if self.keyed else []), *(["email"] if self.unique == "target" else []))

    @property
    def compared(self) -> set[str]:
        """The fields whose cells are stored as they are compared."""
        return {*self.asked_keys} | ({"email"} if self.unique else set()) | ({"sku"} if self.unique_key else set())

    def engine(self, resource: str) -> dict[str, Any]:
        """The template in the words of the import engine."""
        sku: dict[str, Any] = {"source": "sku", "target": "sku", "type": "number" if self.number_key else "text"}
        if self.unique_key:
            sku["validators"] = [{"type": "unique"}]
        email: dict[str, Any] = {"source": "email", "target": "email", "type": "email"}
        if self.unique:
            email["validators"] = [{"type": "unique", "against_target": self.unique == "target"}]
        price: dict[str, Any] = {"source": "price", "target": "price", "transform": "decimal:2"}
        if self.price_default:
            price["transformations"] = [{"type": "default", "value": "7"}]
        fields = [sku, {"source": "name", "target": "name", "required": self.name_required}, email, price]
        if self.source == "column":
            fields.append({"source": "source", "target": "source"})
        template: dict[str, Any] = {
            "name": "model",
            "target_resource": resource,
            "import_mode": self.mode,
            "delimiter": ",",
            "encoding": "utf-8",
            "has_header": True,
            "skip_footer_rows": 0,
            "invalid_rows": self.invalid_rows,
            "include_unmatched_columns": self.memo,
            "record_events": "values",
            "field_mapping": fields,
        }
        if self.keyed:
            template["upsert_key"] = "sku"
        if self.deletes:
            template["delete_column"] = "gone"
        if self.source == "default":
            template["default_values"] = {"source": "erp"}
        if self.mode == "sync":
            template["scope_filter"] = {"source": "erp"}
        return template


@dataclass(frozen=True)
class File:
    """A file: its columns, and of each row the cells; with a cell more the row cannot be read."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    ended: bool = True

    @property
    def content(self) -> bytes:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.columns, *self.rows])
        text = out.getvalue()
        return (text if self.ended else text.removesuffix("\n")).encode()


@dataclass
class Checked:
    """A row as its own cells say.

    Attributes:
        row: 1-based number.
        values: of each field; of one that is kept although it is wrong the text.
        compared: of ``sku`` and ``email``, what is compared with other rows of the file: nothing of what is wrong.
        errors: what is wrong.
        refused: whether it is rejected for that.
        deletes: whether it deletes its record.
        extra: what it says of columns without a field.
        unclear: whether it is not sure which record it means.
        held: the upsert key by which it protects its record from a sync.
    """

    row: int
    values: dict[str, Value]
    compared: dict[str, Value]
    errors: list[Error]
    refused: bool
    deletes: bool
    extra: dict[str, str | None]
    unclear: bool
    held: Value = None

    @property
    def key(self) -> Value:
        return as_compared(self.values["sku"])


def as_compared(value: Value) -> Value:
    """The form by which texts are the same."""
    if not isinstance(value, str):
        return value
    text = unicodedata.normalize("NFC", value.replace("\u200b", "").replace("\u00a0", " ")).strip()
    name, at, domain = text.rpartition("@")
    return f"{name}@{domain.lower()}" if at else text


def file_fields(spec: Spec, columns: tuple[str, ...]) -> set[str]:
    """The fields that a file says something about."""
    return {name for name in spec.fields if name in columns}


def check(spec: Spec, columns: tuple[str, ...], row: int, cells: tuple[str | None, ...]) -> Checked:
    """What a template makes of a row, before it is compared with any other."""
    if len(cells) > len(columns):
        return Checked(row, {"sku": None}, {}, [(None, "EXTRA_CELLS")], True, False, {}, True)
    given = dict(zip(columns, cells, strict=True))
    values: dict[str, Value] = {}
    errors: list[Error] = []
    wrong: set[str] = set()
    for name in spec.fields:
        cell = given.get(name) or ""
        value, code = _read(spec, name, cell)
        values[name] = value
        if code is not None:
            errors.append((name, code))
            wrong.add(name)
    answer = DELETING.get((given.get("gone") or "").strip()) if spec.deletes else False
    unclear_deletion = answer is None
    deletes = bool(answer)
    no_key = values["sku"] is None or "sku" in wrong
    if deletes:
        errors = [error for error in errors if error[0] == "sku"]
    if unclear_deletion:
        errors.append((None, "UNCLEAR_DELETION"))
    key_refused = spec.keyed and no_key
    refused = bool(errors) if spec.invalid_rows != "keep" else key_refused or unclear_deletion
    # What is no address is compared as the text that it is.
    nothing = wrong - {"email"}
    compared = {
        name: None if name in nothing or (deletes and not (name == "sku" and spec.keyed)) else as_compared(values[name])
        for name in ("sku", "email")
    }
    extra = {name: given[name] or None for name in columns if name not in spec.fields} if spec.memo else {}
    if spec.deletes:
        extra.pop("gone", None)
    held = None if "sku" in wrong and spec.invalid_rows != "keep" else as_compared(values["sku"])
    return Checked(row, values, compared, errors, refused, deletes, extra, no_key, held)


def _read(spec: Spec, name: str, cell: str) -> tuple[Value, str | None]:
    """The value of a cell, and the code of what is wrong with it."""
    required = (name == "sku" and spec.keyed) or (name == "name" and spec.name_required)
    if name == "price" and not cell and spec.price_default:
        cell = "7"
    plain = as_compared(cell)
    assert isinstance(plain, str)
    if not plain:
        kept = cell if cell and name not in spec.compared and name in {"sku", "name", "source"} else None
        if name == "sku" and spec.number_key:
            kept = None
        return kept, "REQUIRED" if required else None
    if name == "price" or (name == "sku" and spec.number_key):
        try:
            number = Decimal(plain)
        except InvalidOperation:
            return cell, "NOT_A_NUMBER"
        return (number.quantize(Decimal("0.01"), ROUND_HALF_UP) if name == "price" else number), None
    if name == "email":
        return (plain, None) if plain.endswith("@x.se") else (cell, "INVALID_EMAIL")
    return (plain if name in spec.compared else cell), None
