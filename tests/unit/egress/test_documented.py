"""``docs/webhooks.md`` says what is refused: each line of its tables is tried."""

import re
from ipaddress import ip_network
from pathlib import Path

import pytest

from libs.egress import rules
from libs.egress.rules import address_refusal, url_problem

CHECKOUT = Path(__file__).parents[3]
_PAGE = (CHECKOUT / "docs/webhooks.md").read_text(encoding="utf-8").partition("## Addresses that are refused")[2]
_ROWS = re.findall(r"^\| `([^`]+)` \| (.+?) \|$", _PAGE, re.MULTILINE)
URLS = [row for row in _ROWS if "://" in row[0] or row[0].startswith("https:/")]
NETWORKS = [row for row in _ROWS if row not in URLS and row[0] != "::ffff:0:0/96"]
_INSIDE = {"::/96": "::2", "2001::/23": "2001:1::1"}
"""Addresses of blocks whose first is in another one too."""
HTTP_CLIENTS = re.compile(
    r"^\s*(?:import|from) (httpx|httpcore|aiohttp|requests|urllib\.request|urllib3|http\.client)\b", re.MULTILINE
)
MAY_SPEAK_HTTP = {
    "services/gateway/access/signing_keys.py": "Clerk's keys, at an address of the operator's",
    "services/webhooks/http_sender.py": "the guard itself",
    "services/webhooks/metered_network.py": "what is below it",
}


@pytest.mark.parametrize(("url", "why"), URLS)
def test_urls_are_refused_for_what_is_said(url: str, why: str) -> None:
    assert why in (url_problem(url) or "nothing")


@pytest.mark.parametrize(("network", "why"), NETWORKS)
def test_addresses_are_refused_for_what_is_said(network: str, why: str) -> None:
    parsed = ip_network(network)
    first = _INSIDE.get(network, str(parsed[0]))
    assert address_refusal(first) == why
    if parsed.version == 4:
        assert address_refusal(f"::ffff:{first}") == why


def test_the_table_has_every_block() -> None:
    assert [(network, why) for network, why in NETWORKS] == list(rules._REFUSED_BLOCKS)


def test_what_no_block_names() -> None:
    assert address_refusal("4000::1") == "not a global address"
    assert address_refusal("8.8.8.8") is None
    assert address_refusal("2606:4700::1111") is None
    assert "plain http" in (address_refusal("8.8.8.8", encrypted=False) or "")


def test_nothing_else_speaks_http() -> None:
    code = [path for folder in ("libs", "services") for path in (CHECKOUT / folder).rglob("*.py")]
    found = {str(path.relative_to(CHECKOUT)) for path in code if HTTP_CLIENTS.search(path.read_text(encoding="utf-8"))}
    assert found == set(MAY_SPEAK_HTTP)
