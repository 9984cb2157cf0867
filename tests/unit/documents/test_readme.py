"""The README names everything that can be configured, and links to nothing that is not there."""

import re
from pathlib import Path

import pytest
from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from libs.process.settings import ServiceSettings
from libs.storage.settings import MongoSettings
from services.gateway.access.organizations import TreeSettings
from services.gateway.settings import GatewaySettings
from services.parser.formats.excel.settings import ExcelSettings
from services.parser.settings import ParserSettings
from services.validator.settings import ValidatorSettings
from services.webhooks.settings import WebhookSettings
from services.writer.settings import WriterSettings

CHECKOUT = Path(__file__).resolve().parents[3]
SETTINGS: tuple[type[BaseSettings], ...] = (
    ServiceSettings,
    MongoSettings,
    GatewaySettings,
    TreeSettings,
    ParserSettings,
    ExcelSettings,
    ValidatorSettings,
    WriterSettings,
    WebhookSettings,
)


def _variables() -> set[str]:
    return {
        _variable(field, f"{settings.model_config.get('env_prefix', '')}{name.upper()}")
        for settings in SETTINGS
        for name, field in settings.model_fields.items()
    }


def _variable(field: FieldInfo, by_name: str) -> str:
    """Of several names the first is the present one."""
    alias = field.validation_alias
    return str(alias.choices[0] if isinstance(alias, AliasChoices) else alias or by_name)


def test_every_variable_is_in_the_configuration_reference() -> None:
    named = set(re.findall(r"^\| `([A-Z_]+)` \|", (CHECKOUT / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert named == _variables()


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/formats.md", "examples/README.md"]
)
def test_links_within_the_repository_lead_somewhere(page: str) -> None:
    file = CHECKOUT / page
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", file.read_text(encoding="utf-8"))
    assert [link for link in links if not (file.parent / link).exists()] == []
