"""Where the gateway is and with which key."""

from pathlib import Path

import pytest

from rowdock_client.configuration import Login, NotConfiguredError, load, login_file, save


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config")}


def test_the_file_is_for_its_user_only(environment: dict[str, str]) -> None:
    file = save(Login("https://a", "k"), environment)
    assert file == Path(environment["XDG_CONFIG_HOME"]) / "rowdock" / "login.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert load(environment) == Login("https://a", "k")
    file.chmod(0o644)
    save(Login("https://b", "k"), environment)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["login.json"]


def test_the_environment_wins_each_for_itself(environment: dict[str, str]) -> None:
    save(Login("https://a", "k"), environment)
    assert load({**environment, "ROWDOCK_URL": "https://b"}) == Login("https://b", "k")
    assert load({**environment, "ROWDOCK_API_KEY": "other"}) == Login("https://a", "other")
    assert load({"ROWDOCK_URL": "https://b", "ROWDOCK_API_KEY": "other"}) == Login("https://b", "other")


def test_what_is_missing_or_unreadable_is_told(environment: dict[str, str]) -> None:
    with pytest.raises(NotConfiguredError, match="rowdock login"):
        load(environment)
    with pytest.raises(NotConfiguredError, match="no API key"):
        load({**environment, "ROWDOCK_URL": "https://b"})
    file = save(Login("https://a", "k"), environment)
    for text in ("{", "[]"):
        file.write_text(text)
        with pytest.raises(NotConfiguredError, match=r"login\.json"):
            load(environment)


def test_a_directory_that_is_not_absolute_is_ignored() -> None:
    assert login_file({"XDG_CONFIG_HOME": "here"}) == Path.home() / ".config" / "rowdock" / "login.json"


def test_a_login_does_not_show_its_key() -> None:
    assert "secret" not in repr(Login("https://a", "secret"))
