"""Which encodings a text file can be written in: what a template may name, and what the parser decodes."""

import codecs

# Python has these as text encodings, but no file is written in them.
_NOT_FOR_FILES = frozenset({"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "utf-7"})


def file_codec(name: str) -> str | None:
    """Python's own name of an encoding, ``None`` where it is none of a text file."""
    try:
        codec = codecs.lookup(name).name
        "".encode(name)  # raises LookupError for codecs that are not text encodings, such as base64
        codecs.getincrementaldecoder(codec)
    except (LookupError, UnicodeError, ValueError):
        return None
    return None if codec in _NOT_FOR_FILES else codec
