"""What stands in a file of lines before its data: records that are skipped, then the header."""

from libs.contracts.plan import ParsePlan


class Preamble:
    """Is asked about every record from the file's start on, as long as it is not over."""

    def __init__(self, plan: ParsePlan) -> None:
        self._skip_left = plan.skip_rows
        self._header_left = plan.has_header

    @property
    def over(self) -> bool:
        """Whether all records from here on are data, or blank."""
        return not self._skip_left and not self._header_left

    def takes(self, *, blank: bool) -> bool:
        """Count a record against the ones to skip and the header; a blank one is no header."""
        if self._skip_left:
            self._skip_left -= 1
            return True
        if self._header_left and not blank:
            self._header_left = False
            return True
        return False
