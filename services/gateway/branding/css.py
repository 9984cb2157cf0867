"""CSS that an organization gives, which its importers are to show: what it may hold.

It is read by tinycss2, by the grammar that browsers read it by, and held against lists of what is allowed; what is on
none of them is refused. So nothing is fetched (no ``@import``, no ``url()``), nothing can be said about what is
outside the importer (where it is embedded in a frame or a shadow tree), and nothing may be read in two ways: escapes
and ``<`` are refused, and so is a text whose last rule does not end. All of it may take a tenth of a second: not for an
event loop.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import tinycss2

MAX_CSS_CHARS = 20_000
MAX_FONT_CHARS = 300
MAX_DEPTH = 16
MAX_RULE_DEPTH = 3
MAX_FINDINGS = 20
AT_RULES = ("media", "supports", "keyframes")
FUNCTIONS = frozenset({
    # colours
    "rgb", "rgba", "hsl", "hsla", "hwb", "lab", "lch", "oklab", "oklch", "color-mix",
    # values
    "var", "calc", "min", "max", "clamp", "minmax", "repeat", "fit-content",
    # gradients, movements, filters, shapes
    "linear-gradient", "radial-gradient", "conic-gradient", "repeating-linear-gradient", "repeating-radial-gradient",
    "translate", "translatex", "translatey", "scale", "scalex", "scaley", "rotate", "skew", "skewx", "skewy", "matrix",
    "cubic-bezier", "steps", "blur", "brightness", "contrast", "drop-shadow", "grayscale", "hue-rotate", "invert",
    "opacity", "saturate", "sepia", "circle", "ellipse", "inset", "polygon",
})  # fmt: skip
PSEUDO = frozenset({
    "active", "autofill", "checked", "default", "disabled", "empty", "enabled", "first-child", "first-of-type", "focus",
    "focus-visible", "focus-within", "hover", "indeterminate", "invalid", "last-child", "last-of-type", "link",
    "only-child", "only-of-type", "optional", "placeholder-shown", "read-only", "read-write", "required", "valid",
    "visited", "after", "backdrop", "before", "first-letter", "first-line", "marker", "placeholder", "selection",
})  # fmt: skip
PSEUDO_FUNCTIONS = frozenset(
    {"is", "not", "where", "lang", "dir", "nth-child", "nth-last-child", "nth-of-type", "nth-last-of-type"}
)
OUTSIDE = frozenset({"html", "body", "head"})
"""Elements that are outside any importer."""
PROPERTIES = frozenset({
    "accent", "align", "animation", "appearance", "aspect", "backdrop", "backface", "background", "block", "border",
    "bottom", "box", "caret", "clear", "clip", "color", "column", "columns", "content", "cursor", "direction",
    "display", "fill", "filter", "flex", "float", "font", "gap", "grid", "height", "hyphens", "inline", "inset",
    "isolation", "justify", "left", "letter", "line", "list", "margin", "max", "min", "mix", "object", "opacity",
    "order", "outline", "overflow", "overscroll", "padding", "perspective", "place", "pointer", "position", "quotes",
    "resize", "right", "rotate", "row", "scale", "scroll", "scrollbar", "stroke", "tab", "table", "text", "top",
    "touch", "transform", "transition", "translate", "unicode", "user", "vertical", "visibility", "white", "width",
    "will", "word", "writing", "z",
})  # fmt: skip
"""What the names of properties begin with, up to their first hyphen."""
POSITIONS = frozenset({"static", "relative", "absolute", "sticky"})
_PLAIN = frozenset({"ident", "hash", "whitespace", "string", "number", "percentage", "dimension", "literal", "comment"})
_BRACKETS = frozenset({"() block", "[] block"})
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_SENTINEL = "rowdock-end"

Node = Any
"""A node of tinycss2, whose types say no more."""


def css_problem(text: str) -> str | None:
    """What keeps a style sheet from being shown, in a sentence for its owner, or ``None``."""
    if len(text) > MAX_CSS_CHARS:
        return f"it has {len(text):,} characters; at most {MAX_CSS_CHARS:,} are allowed"
    if problem := _characters(text):
        return problem
    # What does not end by itself would go on in whatever stands behind it.
    rules = tinycss2.parse_stylesheet(f"{text}\n.{_SENTINEL}{{}}", skip_comments=True, skip_whitespace=True)
    last = rules.pop()
    found = list(islice(_rules(rules), MAX_FINDINGS))
    if not found and not _is_sentinel(last):
        return "it does not end: close the last comment, text, bracket or rule, and give each selector its block"
    return "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "") if found else None


def font_problem(text: str) -> str | None:
    """What keeps a text from being the value of ``font-family``, in a sentence for its owner, or ``None``."""
    if not text.strip():
        return "is empty; name a font"
    if len(text) > MAX_FONT_CHARS:
        return f"has {len(text):,} characters; at most {MAX_FONT_CHARS:,} are allowed"
    if problem := _characters(text):
        return problem
    names: list[list[str]] = [[]]
    tokens: list[Node] = tinycss2.parse_component_value_list(text, skip_comments=True)
    for token in tokens:
        if token.type == "literal" and token.value == ",":
            names.append([])
        elif token.type != "whitespace":
            names[-1].append(token.type)
    if all(kinds == ["string"] or (kinds and set(kinds) == {"ident"}) for kinds in names):
        return None
    return 'must be names of fonts with commas between them, such as "Open Sans", Arial, sans-serif'


def _characters(text: str) -> str | None:
    if _UNSEEN.search(text):
        return "it holds a control character; remove it"
    if "\\" in text:
        return "it holds a backslash; write the character itself instead of an escape"
    if "-->" in text:
        return "it holds '-->', which is no CSS; remove it"
    if "<" in text:
        return "it holds '<'; remove it, and write min-width and max-width in @media"
    return None


def _is_sentinel(rule: Node) -> bool:
    return rule.type == "qualified-rule" and tinycss2.serialize(rule.prelude).strip() == f".{_SENTINEL}"


def _at(node: Node, said: str) -> str:
    return f"line {node.source_line}, column {node.source_column}: {said}"


def _rules(rules: Iterable[Node], depth: int = 0) -> Iterator[str]:
    for rule in rules:
        match rule.type:
            case "qualified-rule":
                yield from _selectors(rule.prelude)
                yield from _declarations(rule.content)
            case "at-rule":
                yield from _at_rule(rule, depth)
            case "error":
                yield _at(rule, f"this is no CSS ({rule.message})")
            case _:
                pass


def _at_rule(rule: Node, depth: int) -> Iterator[str]:
    name = rule.lower_at_keyword
    if name not in AT_RULES:
        allowed = ", ".join(f"@{each}" for each in AT_RULES)
        yield _at(rule, f"@{name} is not allowed; of such rules only {allowed} are")
        return
    if rule.content is None or depth >= MAX_RULE_DEPTH:
        yield _at(rule, f"@{name} {'has no block' if rule.content is None else 'is nested too deep'}")
        return
    yield from _values(rule.prelude)
    content = tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
    if name != "keyframes":
        yield from _rules(content, depth + 1)
        return
    for frame in content:
        if frame.type != "qualified-rule":
            yield _at(frame, "in @keyframes there are only steps such as from, to and 50%")
            continue
        yield from _values(frame.prelude)
        yield from _declarations(frame.content)


def _selectors(prelude: Sequence[Node]) -> Iterator[str]:
    before = ""
    for token in prelude:
        if before == ":":
            yield from _pseudo(token)
        elif token.type == "ident" and before != "." and token.lower_value in OUTSIDE:
            yield _at(token, f"{token.value} is outside the importer; select elements inside it")
        elif token.type == "function" or token.type not in _PLAIN | _BRACKETS:
            yield _at(token, "this cannot stand in a selector")
        elif token.type == "[] block":
            yield from _values(token.content)
        elif token.type == "() block" or (
            token.type == "literal" and token.value not in {".", ":", ">", "+", "~", "*", ","}
        ):
            yield _at(token, f"{tinycss2.serialize([token])[:20]!r} cannot stand in a selector")
        before = token.value if token.type == "literal" else ""


def _pseudo(token: Node) -> Iterator[str]:
    """What is wrong with what follows a colon of a selector; another colon is judged by what follows that."""
    match token.type:
        case "literal" if token.value == ":":
            return
        case "ident" if token.lower_value in PSEUDO:
            return
        case "function" if token.lower_name in PSEUDO_FUNCTIONS:
            yield from _selectors_or_steps(token)
        case _:
            name = getattr(token, "value", None) or getattr(token, "name", "")
            yield _at(token, f":{name} is not allowed, or no pseudo-class at all")


def _selectors_or_steps(function: Node) -> Iterator[str]:
    if function.lower_name in {"is", "not", "where"}:
        if any(token.type == "function" for token in function.arguments):
            yield _at(function, f":{function.name}() holds another one; write simpler selectors")
            return
        yield from _selectors(function.arguments)
    else:
        yield from _values(function.arguments)


def _declarations(content: Sequence[Node]) -> Iterator[str]:
    for each in tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True):
        match each.type:
            case "declaration":
                yield from _declaration(each)
            case "error":
                yield _at(each, f"this is no declaration such as color: red ({each.message})")
            case _:
                yield _at(each, "a rule stands inside another one; write it on its own")


def _declaration(each: Node) -> Iterator[str]:
    name: str = each.lower_name
    if (
        not name.startswith("--")
        and name.removeprefix("-webkit-").removeprefix("-moz-").split("-")[0] not in PROPERTIES
    ):
        yield _at(each, f"the property {each.name!r} is not known here; remove it")
    if name.removeprefix("-webkit-") == "position":
        values = [token for token in each.value if token.type not in {"whitespace", "comment"}]
        if len(values) != 1 or values[0].type != "ident" or values[0].lower_value not in POSITIONS:
            yield _at(each, f"position must be one of {', '.join(sorted(POSITIONS))}, to stay inside the importer")
    yield from _values(each.value)


def _values(tokens: Sequence[Node]) -> Iterator[str]:
    """What is wrong with the parts of a value, however deep they are; without recursion, for any depth."""
    waiting: list[tuple[Node, int]] = [(token, 1) for token in reversed(tokens)]
    while waiting:
        token, depth = waiting.pop()
        inner: Sequence[Node] = ()
        if token.type == "function":
            if token.lower_name not in FUNCTIONS:
                yield _at(token, f"the function {token.name}() is not allowed")
            inner = token.arguments
        elif token.type in _BRACKETS:
            inner = token.content
        elif token.type == "url":
            yield _at(token, "url() is not allowed; nothing may be fetched")
        elif token.type not in _PLAIN:
            yield _at(token, "this cannot stand in a value")
        if inner and depth >= MAX_DEPTH:
            yield _at(token, f"brackets are nested more than {MAX_DEPTH} deep")
        else:
            waiting += [(each, depth + 1) for each in reversed(inner)]
