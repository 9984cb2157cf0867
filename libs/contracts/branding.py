"""How the importers of an organization look and speak."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

FontSize = Literal["small", "medium", "large"]
BorderRadius = Literal["none", "small", "medium", "large", "full"]
ButtonStyle = Literal["filled", "outline", "ghost"]
HeaderStyle = Literal["default"]
Locale = Literal["en", "es", "fr", "de", "pt", "it", "nl", "ja", "zh", "ko"]
DEFAULT_FONTS = "Inter, system-ui, sans-serif"


class Branding(BaseModel):
    """The settings; each default is how importers look where an organization says nothing.

    Texts, not enumerations: a newer release may store another choice.

    Attributes:
        primary_color, secondary_color, accent_color, background_color, text_color, border_color, error_color,
        success_color: colours in hexadecimal, such as ``#3B82F6``.
        logo_url, favicon_url: addresses of images.
        show_powered_by: whether the badge "Powered by" is shown.
        font_family, heading_font_family: values of the property of CSS.
        font_size: a ``FontSize``.
        border_radius: a ``BorderRadius``.
        button_style: a ``ButtonStyle``.
        header_style: a ``HeaderStyle``.
        custom_css: a style sheet, as ``services.gateway.branding.css`` lets pass.
        custom_welcome_text, custom_success_text, custom_error_text: plain texts.
        locale: a ``Locale``.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    primary_color: str = "#3B82F6"
    secondary_color: str = "#1E40AF"
    accent_color: str = "#10B981"
    background_color: str = "#FFFFFF"
    text_color: str = "#111827"
    border_color: str = "#E5E7EB"
    error_color: str = "#EF4444"
    success_color: str = "#22C55E"
    logo_url: str | None = None
    favicon_url: str | None = None
    show_powered_by: bool = True
    font_family: str = DEFAULT_FONTS
    heading_font_family: str = DEFAULT_FONTS
    font_size: str = "medium"
    border_radius: str = "medium"
    button_style: str = "filled"
    header_style: str = "default"
    custom_css: str | None = None
    custom_welcome_text: str | None = None
    custom_success_text: str | None = None
    custom_error_text: str | None = None
    locale: str = "en"
