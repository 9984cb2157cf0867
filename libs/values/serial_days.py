"""Days as spreadsheets count them, where they stand in a text."""

from typing import Final

SERIAL_DAY: Final = r"^[1-9][0-9]{4}(?:\.[0-9]+)?$"
"""A number that is taken for such a count: from 18 May 1927 to 2173, and never with a zero before it."""
