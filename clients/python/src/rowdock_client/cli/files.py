"""Downloads to files: whole or not at all."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile

from rowdock_client.cli.session import UsageError


def saved(pieces: Iterable[bytes], file: Path) -> int:
    """Write a stream to a file, which is there once all has come; its bytes.

    Raises:
        UsageError: the file cannot be written.
    """
    size = 0
    try:
        with NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}-", delete=False) as written:
            temporary = Path(written.name)
            try:
                for piece in pieces:
                    size += written.write(piece)
                written.close()
                temporary.chmod(0o644)
                temporary.replace(file)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error}", "name another file with --output") from error
    return size
