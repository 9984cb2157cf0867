"""Settings of the validator, by their present and former names."""

import pytest

from services.validator.settings import ValidatorSettings


@pytest.mark.parametrize("name", ["ROWDOCK_WHOLE_FILE_CHECK_LEASE_SECONDS", "ROWDOCK_BARRIER_LEASE_SECONDS"])
def test_the_lease_of_the_whole_file_check_has_two_names(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "7")
    assert ValidatorSettings().whole_file_check_lease_seconds == 7
