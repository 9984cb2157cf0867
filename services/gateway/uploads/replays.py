"""Uploads that are sent again with the same ``Idempotency-Key``."""

from collections.abc import Sequence

from libs.storage.documents import RunDocument
from services.gateway.errors import InvalidInputError, Problem


def different_parts(one: RunDocument, other: RunDocument) -> list[str]:
    """In what the uploads of two runs differ. The name of a file is for display only and makes no difference."""
    parts = {
        "the file": one.file.sha256 != other.file.sha256,
        "the template": one.template_id != other.template_id,
        "the mapping": _mapped(one) != _mapped(other),
        "the metadata": one.metadata != other.metadata,
        "the external user": one.external_user_id != other.external_user_id,
    }
    return [part for part, differs in parts.items() if differs]


def _mapped(run: RunDocument) -> dict[str, str | None] | None:
    return None if run.column_mapping is None else dict(run.column_mapping)


def key_reused(holder: RunDocument, differing: Sequence[str]) -> InvalidInputError:
    """The refusal of an upload whose key has made another run."""
    message = (
        f"this key made the run {holder.id} already, and {' and '.join(differing)} differ; "
        "send a new key with a new upload, or the first upload as it was"
    )
    return InvalidInputError(
        "IDEMPOTENCY_KEY_REUSED", message, [Problem("idempotency_key", "IDEMPOTENCY_KEY_REUSED", message)]
    )
