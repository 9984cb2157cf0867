"""The branding of an organization in the words of Rowporter.

Every member of the answer can be changed, so ``faviconUrl``, ``headingFontFamily``, ``headerStyle`` and
``customErrorText`` too. ``null`` takes an address, a text or the style sheet away.
"""

from typing import Any, cast

from pydantic import Field

from libs.contracts.branding import (
    DEFAULT_FONTS,
    BorderRadius,
    Branding,
    ButtonStyle,
    FontSize,
    HeaderStyle,
    Locale,
)
from services.gateway.branding.branding import ApprovedBranding, approve
from services.gateway.branding.css import AT_RULES, MAX_CSS_CHARS
from services.gateway.errors import Problem, invalid_input
from services.gateway.http.places import Places
from services.gateway.http.request_shape import Json, Problems
from services.gateway.http.rowporter.casing import CamelChanges, CamelView


def _color(usage: str, example: str) -> Any:  # noqa: ANN401 - as pydantic's Field
    return Field(default="", description=f"Hex color for {usage}: 3, 4, 6 or 8 digits.", examples=[example])


class BrandingChanges(CamelChanges):
    """The settings that are to be changed; what is left out stays as it is."""

    primary_color: str = _color("primary elements", "#3B82F6")
    secondary_color: str = _color("secondary elements", "#1E40AF")
    accent_color: str = _color("accent highlights", "#10B981")
    background_color: str = _color("widget background", "#FFFFFF")
    text_color: str = _color("text", "#111827")
    border_color: str = _color("borders", "#E5E7EB")
    error_color: str = _color("error states", "#EF4444")
    success_color: str = _color("success states", "#22C55E")
    logo_url: str | None = Field(
        default=None, description="URL to your logo image: https, and no private address.", max_length=2_000
    )
    favicon_url: str | None = Field(default=None, description="As logoUrl.", max_length=2_000)
    show_powered_by: bool = Field(default=True, description="Show/hide Powered by badge (paid plans only).")
    font_family: str = Field(default="", description="CSS font-family for body text.", examples=[DEFAULT_FONTS])
    heading_font_family: str = Field(default="", description="CSS font-family for headings.", examples=[DEFAULT_FONTS])
    font_size: FontSize = "medium"
    border_radius: BorderRadius = "medium"
    button_style: ButtonStyle = "filled"
    header_style: HeaderStyle = "default"
    custom_css: str | None = Field(
        default=None,
        description=f"Custom CSS to inject (paid plans only): at most {MAX_CSS_CHARS:,} characters, of whose at-rules "
        f"only {', '.join(f'@{name}' for name in AT_RULES)} are accepted; no url(), no escapes, no '<', and nothing "
        "about what is outside the importer. An error names line and column.",
    )
    custom_welcome_text: str | None = Field(default=None, description="Custom welcome message, plain text.")
    custom_success_text: str | None = Field(default=None, description="Custom success message, plain text.")
    custom_error_text: str | None = Field(default=None, description="Custom error message, plain text.")
    locale: Locale = Field(default="en", description="Language code.")


class BrandingView(CamelView):
    """The settings in force: those of the organization, and the defaults of the rest."""

    primary_color: str
    secondary_color: str
    accent_color: str
    background_color: str
    text_color: str
    border_color: str
    error_color: str
    success_color: str
    logo_url: str | None
    favicon_url: str | None
    show_powered_by: bool
    font_family: str
    heading_font_family: str
    font_size: str
    border_radius: str
    button_style: str
    header_style: str
    custom_css: str | None
    custom_welcome_text: str | None
    custom_success_text: str | None
    custom_error_text: str | None
    locale: str


class BrandingSaved(CamelView):
    success: bool = True
    message: str = "Branding settings updated successfully"


_NAMES = {cast("str", field.alias): name for name, field in BrandingChanges.model_fields.items()}
PLACES = Places("body", {name: alias for alias, name in _NAMES.items()})
"""Where the members of the model stand in the request."""


def read_branding(body: object) -> ApprovedBranding:
    """The changes that a client asks for.

    Raises:
        InvalidInputError: what is wrong with them, by places of the request.
    """
    if not isinstance(body, dict):
        raise invalid_input(Problem("body", "INVALID", "must be a JSON object with the settings to change"))
    problems = Problems()
    changes = problems.shape(BrandingChanges, cast("Json", body), "body")
    if problems.found:
        raise invalid_input(*problems.in_order())
    with PLACES.translating():
        return approve({_NAMES[alias]: value for alias, value in changes.items()})


def present_branding(branding: Branding) -> BrandingView:
    """The settings as they are answered."""
    return BrandingView(**dict(branding))
