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


_AS_ON_THE_WEB = {
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "koi8-r": "koi8-u",
}
"""What files hold whose encoding is called so (WHATWG Encoding Standard, 4.2): the larger encoding that programs have
always written under that name."""


def web_codec(name: str) -> str | None:
    """Python's name of the encoding that is meant by a label, ``None`` where it is none of a text file."""
    label = name.strip().lower()
    codec = file_codec(_OTHER_LABELS.get(label, label))
    return None if codec is None else _AS_ON_THE_WEB.get(codec, codec)


_OTHER_LABELS = {
    "ansi": "cp1252",
    "windows-31j": "cp932",
    "windows-874": "cp874",
    "x-sjis": "shift_jis",
    "x-gbk": "gbk",
    "x-cp1251": "cp1251",
    "x-cp1252": "cp1252",
    "x-mac-cyrillic": "mac_cyrillic",
    "x-mac-roman": "mac_roman",
    "macroman": "mac_roman",
    "iso-8859-8-i": "iso8859-8",
    "ibm866": "cp866",
    "dos-862": "cp862",
    "unicode": "utf-16",
    "utf-8-bom": "utf-8",
    "utf8-bom": "utf-8",
}
"""Labels that Python does not know."""
