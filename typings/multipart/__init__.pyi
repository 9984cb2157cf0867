"""The part of multipart's interface that Rowdock uses; the package ships no types."""

from collections.abc import Generator

class MultipartError(ValueError): ...
class ParserError(MultipartError): ...
class ParserLimitReached(MultipartError): ...

def parse_options_header(header: str) -> tuple[str, dict[str, str]]: ...

class MultipartSegment:
    name: str | None
    filename: str | None
    content_type: str | None

class PushMultipartParser:
    def __init__(
        self,
        boundary: str | bytes,
        content_length: int = ...,
        max_header_size: int = ...,
        max_header_count: int = ...,
        max_segment_size: float = ...,
        max_segment_count: float = ...,
        header_charset: str = ...,
        strict: bool = ...,
    ) -> None: ...
    def parse(self, chunk: bytes) -> Generator[MultipartSegment | bytes | None]: ...
    def close(self, check_complete: bool = ...) -> None: ...
