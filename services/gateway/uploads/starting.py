"""Imports that nobody uploads: their bytes have come another way, from a source or with a message.

What is started here is an upload in every respect, with its turn, its quotas and its checks; who brings the bytes has
said before for which organization, and has given a key of its own, by which the import is started once.
"""

from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass

from libs.contracts.templates import SourceFormat
from services.gateway.access.principal import Principal
from services.gateway.stores.runs import RunStore
from services.gateway.stores.templates import TemplateName
from services.gateway.uploads.uploads import Submitted, Uploads

_APART = " "
"""In no key that a client may send, so that no client's request has the key of an import of another kind."""


@dataclass(frozen=True, slots=True)
class ImportStart:
    """What is to be imported.

    Attributes:
        template: one that the organization may use, of any vocabulary.
        file_name: for display.
        columns: header and field that its column fills, as an upload's mapping says; ``None`` to find them by name.
        metadata: the text of a JSON object, kept on the run.
        external_user_id: kept on the run.
        goes_on: execute the run once it is validated, whatever the template says.
        request_id: kept on the run and told with its events.
        source: how the bytes are read, in the place of what the template says.
    """

    template: TemplateName
    file_name: str
    columns: Mapping[str, object] | None = None
    metadata: str | None = None
    external_user_id: str | None = None
    goes_on: bool = True
    request_id: str | None = None
    source: SourceFormat | None = None


def start_key(kind: str, identifier: str) -> str:
    """The key of an import that is known as ``identifier`` among those of one kind, such as ``source``."""
    return f"{kind}{_APART}{identifier}"


async def started(principal: Principal, key: str) -> str | None:
    """Id of the run that was started with a key, or ``None``; to be asked before bytes are moved for nothing."""
    run = await RunStore(principal).by_idempotency_key(key)
    return None if run is None else run.id


async def start_import(
    uploads: Uploads,
    principal: Principal,
    start: ImportStart,
    content: AsyncIterable[bytes],
    *,
    key: str,
    max_bytes: int,
    announced: int = 0,
) -> Submitted:
    """Make a run of some bytes, once for each key: whoever comes again, after a crash too, gets the run of the first.

    Args:
        principal: acts for the organization whose records are changed; its ``subject`` is kept on the run.
        content: is read once, and stored before the run is made. What it raises is raised.
        key: from ``start_key``.
        max_bytes: most that is read of it.
        announced: how many bytes are to come; 0 where nobody knows.

    Raises:
        NotFoundError: at ``template``: there is none that the organization may use.
        InvalidInputError: at ``mapping``: it cannot be followed; or ``IDEMPOTENCY_KEY_REUSED`` at ``idempotency_key``:
            another content, template or mapping was started with the key.
        UnsupportedFileError: the template does not read this kind of file.
        FileTooLargeError: more than ``max_bytes`` came.
        ConflictError: the organization cannot use a template that is shared with it.
        LimitError, StorageFullError: the organization has what it may have.
        BusyError: too much is going on at the moment; come again. In any case nothing is left of it.
    """
    async with uploads.receiving(principal, announced, key) as upload:
        upload.metadata, upload.external_user_id = start.metadata, start.external_user_id
        upload.goes_on, upload.request_id = start.goes_on, start.request_id
        await upload.choose_named_template(start.template, start.source)
        if start.columns is not None:
            upload.map_columns(start.columns)
        await upload.take_file(start.file_name, content, max_bytes)
        received = await upload.complete()
    return await uploads.submit(received, key, one_run=True)
