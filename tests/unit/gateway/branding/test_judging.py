"""What can be saved of a branding, and in which plan."""

import pytest

from libs.contracts.plans import Plan
from services.gateway.branding.judging import branding_problems, plan_problems


@pytest.mark.parametrize("color", ["#3B82F6", "#abc", "#abcd", "#12345678"])
def test_colors(color: str) -> None:
    assert not list(branding_problems({"primary_color": color, "error_color": color}))


@pytest.mark.parametrize(
    "color", ["", "red", "3B82F6", "#12345", "#ggg", "#1234567", "#fff\n", "rgb(1,2,3)", "#123456789"]
)
def test_no_colors(color: str) -> None:
    assert [each.location for each in branding_problems({"text_color": color})] == ["text_color"]


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://example.com/logo.png", True),
        ("http://example.com/logo.png", False),
        ("https://127.0.0.1/logo.png", False),
        ("https://[::1]/logo.png", False),
        ("https://169.254.169.254/logo.png", False),
        ("https://10.0.0.1/logo.png", False),
        ("https://user:password@example.com/logo.png", False),
        ("javascript:alert(1)", False),
        ("data:image/png;base64,AAAA", False),
        ("//example.com/logo.png", False),
        ("", False),
    ],
)
def test_addresses_of_images(url: str, fine: bool) -> None:
    for name in ("logo_url", "favicon_url"):
        assert (not list(branding_problems({name: url}))) is fine


def test_texts() -> None:
    assert not list(branding_problems({"custom_welcome_text": "Hello\n<b>you</b>", "custom_error_text": None}))
    assert [each.code for each in branding_problems({"custom_success_text": "a" * 1_001})] == ["INVALID"]
    assert [each.code for each in branding_problems({"custom_error_text": "a\x00b"})] == ["INVALID"]


def test_plans() -> None:
    changes = {"primary_color": "#000", "secondary_color": "#111", "logo_url": None, "custom_css": "", "locale": "de"}
    assert [each.location for each in plan_problems(changes, Plan.FREE)] == ["custom_css", "locale"]
    assert not list(plan_problems(changes, Plan.STARTER))
