"""What stands before the root element: a file with a DOCTYPE is refused before any of it is parsed."""

from libs.contracts.errors import FileRefusedError
from libs.contracts.reasons import RunErrorCode

_BLANK = " \t\r\n"
_DOCTYPE = "<!DOCTYPE"
_MARKUP = (("<?", "?>"), ("<!--", "-->"))


class Prolog:
    """Holds the text of a file until its root element begins, so that no DOCTYPE can come any more.

    Attributes:
        text: what was held.
    """

    def __init__(self) -> None:
        self.text = ""
        self._seen = 0

    def feed(self, text: str) -> bool:
        """Whether the root element begins in the text so far.

        Raises:
            FileRefusedError: ``XML_DTD_FORBIDDEN``.
        """
        self.text = text = self.text + text
        while True:
            at = len(text) - len(text[self._seen :].lstrip(_BLANK))
            self._seen = at
            for start, end in _MARKUP:
                if text.startswith(start, at):
                    end_at = text.find(end, at + len(start))
                    if end_at < 0:
                        return False
                    self._seen = end_at + len(end)
                    break
            else:
                head = text[at : at + len(_DOCTYPE)].upper()
                if head == _DOCTYPE:
                    raise FileRefusedError(
                        RunErrorCode.XML_DTD_FORBIDDEN,
                        f"line {text.count(chr(10), 0, at) + 1}: the file has a DOCTYPE, which could define entities "
                        "that grow without bounds or read other files; remove everything from <!DOCTYPE to its end and "
                        "upload the file again",
                    )
                return not any(each.startswith(head) for each in (_DOCTYPE, *(start for start, _ in _MARKUP)))
