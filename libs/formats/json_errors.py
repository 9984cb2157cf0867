"""What the standard library's JSON decoder complains about, in words for people."""

import json

_SAID = {
    "Expecting value": "a value is needed here: an object, list, number, text in double quotes, true, false or null",
    "Expecting property name enclosed in double quotes": "a name in double quotes is needed here",
    "Expecting ':' delimiter": "a ':' is needed here, between a name and its value",
    "Expecting ',' delimiter": "a ',' or the end of the object or list is needed here",
    "Illegal trailing comma before end of object": "a ',' stands before the end of the object; remove it",
    "Illegal trailing comma before end of array": "a ',' stands before the end of the list; remove it",
    "Extra data": "the value has ended before this; remove what follows",
    "Unterminated string starting at": "the text that begins here has no closing quote",
    "Invalid control character at": "a line break, tab or other control character in a text; write \\n, \\t or \\u00XX",
    "Invalid \\escape": "a '\\' with a character that it cannot stand before; write '\\\\' for the character itself",
    "Invalid \\uXXXX escape": "four hexadecimal digits are needed after '\\u'",
}


def said(error: json.JSONDecodeError) -> str:
    """What is wrong at the place of the error, and how to mend it."""
    return _SAID.get(error.msg, "this is no JSON")
