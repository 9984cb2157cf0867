"""Where there are watched directories."""

from cryptography.fernet import Fernet
from pydantic import SecretStr

from services.gateway.settings import GatewaySettings
from services.gateway.sources.opening import Places


def test_an_empty_setting_names_no_directory() -> None:
    """Not the working directory of the process, as an empty path would."""
    settings = GatewaySettings.model_validate(
        {"secret_key": SecretStr(Fernet.generate_key().decode()), "sources_directory": ""}
    )
    assert Places.of(settings).root is None
