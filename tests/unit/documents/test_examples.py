"""The examples hold what examples/README.md says of them, by the reader and the engine that the services use."""

import csv
import json
from pathlib import Path

from deploy.local.demo import EXAMPLES, FILES, count_rows
from libs.contracts.templates import Template
from services.gateway.http.engine.template_reading import read_template
from services.gateway.templates.judging import TemplateJudge
from services.validator.domain.checking import check_batch
from services.validator.domain.compilation import compile_template
from tests.reading import read_file

PLANTED = {
    8: ["NOT_A_NUMBER"],
    9: ["REQUIRED"],
    40: ["TOO_LONG"],
    55: ["ABOVE_MAXIMUM"],
    70: ["NOT_ALLOWED"],
    85: ["PATTERN_MISMATCH"],
    100: ["EXTRA_CELLS"],
    115: ["NOT_AN_INTEGER"],
    145: ["NOT_A_NUMBER", "NOT_ALLOWED"],
    220: ["REQUIRED"],
}


def _template() -> Template:
    written = json.loads((EXAMPLES / "airports-template.json").read_text(encoding="utf-8"))
    return read_template(written, TemplateJudge()).approved.template


def _rejected(file: Path) -> tuple[int, dict[int, list[str]]]:
    """The number of rows, and the codes of those that are rejected on their own."""
    template = _template()
    read = read_file(file.read_bytes(), template)
    compiled = compile_template(template, read.plan)
    codes: dict[int, list[str]] = {}
    for batch in read.batches:
        codes |= {row.row: [error.code for error in row.errors] for row in check_batch(compiled, batch.table).rejected}
        codes |= {issue.row: [issue.code] for issue in batch.issues}
    return read.rows, codes


def test_the_planted_faults_and_nothing_else_set_the_faulty_copy_apart() -> None:
    rows, original = _rejected(EXAMPLES / "airports.csv")
    faulty_rows, faulty = _rejected(EXAMPLES / "airports-faulty.csv")
    assert (rows, faulty_rows) == (1_458, 1_459)
    assert {row: codes for row, codes in faulty.items() if row not in original} == PLANTED
    assert {row: faulty[row] for row in original} == original


def test_rows_are_those_of_the_standard_library() -> None:
    for name in FILES:
        assert count_rows(EXAMPLES / name) == _rejected(EXAMPLES / name)[0]


def test_the_faulty_copy_repeats_one_key() -> None:
    with (EXAMPLES / "airports-faulty.csv").open(newline="", encoding="utf-8") as text:
        keys = [row[0] for row in csv.reader(text) if row][1:]
    assert [row for row, key in enumerate(keys, 1) if keys.count(key) > 1] == [5, 1_459]
