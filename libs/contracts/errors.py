"""Errors named by what to do about them, not by the module they come from."""

from libs.contracts.reasons import RunErrorCode


class RowdockError(Exception):
    """Root of every error that Rowdock raises on purpose."""


class TransientError(RowdockError):
    """The same call may succeed later: retry with backoff, then hand the message back."""


class PermanentError(RowdockError):
    """Retrying cannot help.

    Attributes:
        code: stable upper-case identifier, e.g. ``MISSING_COLUMNS``.
        detail: what is wrong, where, and how to fix it, for a person.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class UndecodableMessageError(PermanentError):
    """A Kafka message whose headers or body are not an event of its topic."""

    def __init__(self, detail: str) -> None:
        super().__init__("UNDECODABLE_MESSAGE", detail)


class UnreadableDocumentError(PermanentError):
    """A stored document that holds something this release cannot read: a newer one wrote it, or it is damaged.

    Its message quotes no stored value.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(RunErrorCode.UNREADABLE_DOCUMENT, detail)


class FileRefusedError(PermanentError):
    """The file as a whole cannot be imported; the run fails with this code and detail."""
