"""Pages link to nothing that is not there."""

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]


PAGES = (
    "README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/formats.md", "docs/configuration.md",
    "docs/operations.md", "docs/dashboards.md", "examples/README.md",
)  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_repository_lead_somewhere(page: str) -> None:
    file = CHECKOUT / page
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", file.read_text(encoding="utf-8"))
    assert [link for link in links if not (file.parent / link).exists()] == []
