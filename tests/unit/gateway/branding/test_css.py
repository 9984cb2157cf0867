"""CSS that importers may show, and CSS that they may not."""

import time

import pytest

from services.gateway.branding.css import MAX_CSS_CHARS, css_problem, font_problem

GOOD = [
    "",
    "/* nothing */",
    ".button { color: #fff; background: linear-gradient(90deg, rgb(1 2 3 / 50%), var(--accent)) }",
    "h2, .card > .title:first-child::before { content: '“'; font-weight: 600 !important }",
    ".card:not(.open):hover ~ p + *, input[type='text']:focus-visible { border-radius: calc(4px + 1em) }",
    "li:nth-child(2n + 1) { position: sticky; top: 0; z-index: 2 }",
    ":where(.a, .b:hover) { -webkit-font-smoothing: auto; --gap: 4px; gap: var(--gap) }",
    "@media (min-width: 600px) and (prefers-color-scheme: dark) { .card { padding: 1rem 2rem } }",
    "@supports (display: grid) { @media print { .card { display: grid; grid-template: 1fr / repeat(3, 1fr) } } }",
    "@keyframes glow { from { opacity: 0 } 50% { opacity: .5 } to { opacity: 1 } } .x { animation: glow 1s infinite }",
    ".body .html { color: red }",
]
BAD = [
    ("@import 'evil.css';", "@import is not allowed"),
    ("@IMPORT url(evil.css);", "@import is not allowed"),
    ("@font-face { font-family: x; src: url(x.woff) }", "@font-face is not allowed"),
    ("@charset 'utf-8';", "@charset is not allowed"),
    ("@namespace x 'y';", "@namespace is not allowed"),
    ("@layer a { b { color: red } }", "@layer is not allowed"),
    ("@media screen;", "@media has no block"),
    (".a { background: url(https://evil.example/?x) }", "url() is not allowed"),
    (".a { background: URL('https://evil.example') }", "URL() is not allowed"),
    (".a { background: Url( \"x\" ) }", "Url() is not allowed"),
    (".a { background: image-set('x.png' 1x) }", "image-set() is not allowed"),
    (".a { --x: url(x) }", "url() is not allowed"),
    (".a { --x: ({[ src('x') ]}) }", "cannot stand in a value"),
    (".a { color: rgb(1, calc(url(x)), 2) }", "url() is not allowed"),
    (".a { width: expression(alert(1)) }", "expression() is not allowed"),
    (".a { behavior: none }", "'behavior' is not known"),
    (".a { -moz-binding: none }", "'-moz-binding' is not known"),
    (".a { background: u\\72l(x) }", "backslash"),
    ("</style><script>alert(1)</script>", "'<'"),
    (".a { content: '</style>' }", "'<'"),
    ("/* </style> */", "'<'"),
    ("<!-- .a { color: red } -->", "'-->'"),
    (".a { color: red } -->", "'-->'"),
    (".a { color: r\0ed }", "control character"),
    (".a { position: fixed }", "position must be one of"),
    (".a { position: var(--p) }", "position must be one of"),
    (".a { position: FIXED !important }", "position must be one of"),
    ("body { color: red }", "body is outside the importer"),
    (".x, HTML > .y { color: red }", "HTML is outside the importer"),
    (":is(body, .x) { color: red }", "body is outside the importer"),
    (":root { --x: 1 }", ":root is not allowed"),
    (":host { color: red }", ":host is not allowed"),
    (":host-context(.x) { color: red }", ":host-context is not allowed"),
    (".a::part(x) { color: red }", ":part is not allowed"),
    (".a:has(.b) { color: red }", ":has is not allowed"),
    (":not(:is(.a)) { color: red }", "write simpler selectors"),
    ("& + .x { color: red }", "cannot stand in a selector"),
    ("svg|a { color: red }", "cannot stand in a selector"),
    (".a { .b { color: red } }", "inside another one"),
    (".a { @media print { color: red } }", "inside another one"),
    (".a { color }", "no declaration"),
    (".a { color: red } } .b { color: red }", "cannot stand in a selector"),
    (".a { color: red", "does not end"),
    (".a { color: red } /* and", "does not end"),
    (".a { content: 'x", "does not end"),
    (".a { width: calc(1px", "does not end"),
    ("@media print { .a { color: red }", "does not end"),
    ("@keyframes x { @media print { from { color: red } } }", "only steps"),
    ("@keyframes x { from { background: url(x) } }", "url() is not allowed"),
    ("@media screen { @media screen { @media screen { @media screen { .a { color: red } } } } }", "nested too deep"),
    (".a { width: " + "(" * 30 + ")" * 30 + " }", "nested more than 16 deep"),
    ("color: red", "does not end"),
    (".a { content: 'x\n' }", "does not end"),
    ("a" * (MAX_CSS_CHARS + 1), "at most 20,000"),
]  # fmt: skip


@pytest.mark.parametrize("css", GOOD)
def test_what_is_allowed(css: str) -> None:
    assert css_problem(css) is None


@pytest.mark.parametrize(("css", "said"), BAD)
def test_what_is_refused(css: str, said: str) -> None:
    problem = css_problem(css)
    assert problem is not None
    assert said in problem


def test_a_problem_says_where() -> None:
    problem = css_problem(".a {\n  color: red;\n  background: url(x);\n}")
    assert problem is not None
    assert problem.startswith("line 3, column 15: url() is not allowed")


@pytest.mark.parametrize("part", ["(", "a{", "a{b:[", "@media(", ":not(", "/*", ".a{color:red}", "a,", "--x:{", "'"])
def test_the_worst_takes_less_than_a_moment(part: str) -> None:
    begun = time.process_time()
    css_problem((part * MAX_CSS_CHARS)[:MAX_CSS_CHARS])
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    "font", ["Inter, system-ui, sans-serif", '"Open Sans", Arial', "Times New Roman", "'A', -apple-system"]
)
def test_fonts(font: str) -> None:
    assert font_problem(font) is None


@pytest.mark.parametrize(
    "font",
    [
        "",
        " ",
        "a,",
        ",",
        "a; color: red",
        "url(x)",
        "var(--x)",
        "a}b{",
        "12px Arial",
        '"a" b',
        "a\\62",
        "<b>",
        "a" * 301,
    ],
)
def test_no_fonts(font: str) -> None:
    assert font_problem(font) is not None
