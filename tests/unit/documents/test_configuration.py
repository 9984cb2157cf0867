"""The configuration reference names everything that can be configured, with what it means."""

import ast

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy.configuration import COMMON, OF_COMMANDS, OF_SERVICES, configuration_document, settings_of, variables_of
from deploy.local.stack import SERVICES
from libs.messaging.connection import KafkaSettings
from services.gateway.delete_organization import DeletionSettings
from tests.unit.lint.test_source_rules import CHECKOUT

MODELS = {model for models in (COMMON, *OF_SERVICES.values(), *OF_COMMANDS.values()) for model in models}


def classes_of_settings() -> set[str]:
    """Every class of the project that is read from the environment."""
    return {
        node.name
        for package in ("libs", "services", "deploy")
        for file in (CHECKOUT / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id.endswith("Settings") for base in node.bases)
    }


def test_every_class_of_settings_is_in_the_reference() -> None:
    # What Kafka asks is in the settings of every service; what the command asks is the gateway's.
    known = {model.__name__ for model in (*MODELS, KafkaSettings, DeletionSettings)}
    assert classes_of_settings() == known, "add it to deploy/configuration.py"


def test_every_service_that_is_started_is_in_the_reference() -> None:
    assert set(OF_SERVICES) == set(SERVICES)


def test_every_variable_is_told_with_type_default_and_meaning() -> None:
    page = configuration_document()
    for model in MODELS:
        for setting in settings_of(model):
            assert f"| `{setting.variable}` | {setting.kind} |" in page
            assert setting.kind
            assert len(setting.meaning) > 10, setting.variable
    assert "| `ROWDOCK_SECRET_KEY` | **secret** | **required** |" in page
    assert "| `ROWDOCK_PORT` | whole number, at least 1, at most 65535 | 8000 |" in page
    assert "| `ROWDOCK_MAX_UPLOAD_BYTES` | whole number, at least 1 | 2147483648 (2 GiB) |" in page
    assert "`admin=admin+read+write,member=read+write`" in page


def test_a_service_reads_what_all_read_and_its_own() -> None:
    assert {"ROWDOCK_KAFKA", "ROWDOCK_MONGODB", "ROWDOCK_EXCEL_CPU_SECONDS"} <= set(variables_of("parser"))
    assert "ROWDOCK_PORT" not in variables_of("parser")
    required = {name for name, setting in variables_of("gateway").items() if setting.default is None}
    assert required == {
        "ROWDOCK_KAFKA", "ROWDOCK_OPS_PORT", "ROWDOCK_INSTANCE", "ROWDOCK_MONGODB", "ROWDOCK_SECRET_KEY",
    }  # fmt: skip


class Untold(BaseSettings):
    """Read from somewhere.

    Attributes:
        told: what it means,
            on two lines.
    """

    model_config = SettingsConfigDict(env_prefix="UNTOLD_")

    told: SecretStr | None = None
    untold: int = Field(default=1)


def test_a_setting_without_a_meaning_is_refused() -> None:
    settings = settings_of(Untold)
    assert next(settings).meaning == "what it means, on two lines."
    with pytest.raises(LookupError, match=r"Untold\.untold"):
        next(settings)
