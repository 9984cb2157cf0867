"""What keeps settings of a branding from being saved, in paths of the model."""

import re
from collections.abc import Callable, Iterator, Mapping

from libs.contracts.plans import PLANS, Plan
from libs.egress.rules import url_problem
from services.gateway.branding.css import css_problem, font_problem
from services.gateway.errors import Problem

MAX_TEXT_CHARS = 1_000
FREE_SETTINGS = ("primary_color", "secondary_color", "logo_url")
"""What an organization may change whose plan has no full branding."""
_COLOR = re.compile(r"#(?:[0-9A-Fa-f]{3,4}|[0-9A-Fa-f]{6}|[0-9A-Fa-f]{8})")
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def _color_problem(text: str) -> str | None:
    return None if _COLOR.fullmatch(text) else "must be a colour in hexadecimal, such as #3B82F6"


def _text_problem(text: str) -> str | None:
    if len(text) > MAX_TEXT_CHARS:
        return f"has {len(text):,} characters; at most {MAX_TEXT_CHARS:,} are allowed"
    return "holds a control character; remove it" if _UNSEEN.search(text) else None


_CHECKS: Mapping[str, tuple[str, Callable[[str], str | None]]] = {
    **dict.fromkeys(
        (
            "primary_color", "secondary_color", "accent_color", "background_color", "text_color", "border_color",
            "error_color", "success_color",
        ),
        ("INVALID_COLOR", _color_problem),
    ),
    **dict.fromkeys(("logo_url", "favicon_url"), ("INVALID_URL", url_problem)),
    **dict.fromkeys(("font_family", "heading_font_family"), ("INVALID_FONT", font_problem)),
    "custom_css": ("INVALID_CSS", css_problem),
    **dict.fromkeys(
        ("custom_welcome_text", "custom_success_text", "custom_error_text"), ("INVALID", _text_problem)
    ),
}  # fmt: skip


def branding_problems(changes: Mapping[str, object]) -> Iterator[Problem]:
    """What is wrong with new values, each of the type of its member; may take a tenth of a second."""
    for name, value in changes.items():
        if name not in _CHECKS or not isinstance(value, str):
            continue
        code, check = _CHECKS[name]
        if problem := check(value):
            yield Problem(name, code, problem)


def plan_problems(changed: Mapping[str, object], plan: Plan) -> Iterator[Problem]:
    """Which settings an organization may not change in its plan."""
    if PLANS[plan].full_branding:
        return
    enough = next(traits.label for traits in PLANS.values() if traits.full_branding)
    for name in changed:
        if name not in FREE_SETTINGS:
            message = f"needs the {enough} plan or above; the organization has the {PLANS[plan].label} plan"
            yield Problem(name, "PLAN_RESTRICTED", message)
