"""The table of purposes hangs together."""

from libs.contracts.purposes import PURPOSES, RunPurpose


def test_the_table_has_every_purpose() -> None:
    assert set(PURPOSES) == set(RunPurpose)


def test_nothing_is_purged_that_others_have_seen() -> None:
    for purpose in RunPurpose:
        traits = purpose.traits
        seen = [traits.listed, traits.told, traits.executed]
        assert not (traits.purged and any(seen)), purpose
