"""Where MongoDB is: two databases, neither of them the server's own."""

import pytest
from pydantic import SecretStr, ValidationError

from libs.storage.settings import MongoSettings


def settings(database: str, target: str) -> MongoSettings:
    return MongoSettings(mongodb=SecretStr("mongodb://h"), database=database, target_database=target)


@pytest.mark.parametrize(
    ("database", "target", "said"),
    [
        ("rowdock", "rowdock", "must be two databases"),
        ("rowdock", "RowDock", "must be two databases"),
        ("admin", "rowdock_data", "its own state"),
        ("rowdock", "Config", "its own state"),
        ("rowdock", "local", "its own state"),
    ],
)
def test_databases_that_would_mix_what_must_not(database: str, target: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        settings(database, target)


def test_two_databases() -> None:
    assert settings("import", "import_data").target_database == "import_data"
