"""Rules of the project that no linter knows."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
WHOLE_DOCUMENT_CALLS = frozenset({"save", "save_changes", "replace_one", "find_one_and_replace", "ReplaceOne"})
REGEX_FUNCTIONS = frozenset({"compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn"})

# In pieces, so that this file itself passes.
HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("repo1", "maven", "org"),
        ("repo", "maven", "apache", "org"),
        ("registry", "npmjs", "org"),
        ("proxy", "golang", "org"),
        ("docker", "io"),
        ("quay", "io"),
        ("ghcr", "io"),
    )
)
MACHINE_PATHS = tuple(f"/{folder}/" for folder in ("home", "Users", "root", "work"))
INDEX_OPTIONS = tuple("--" + option for option in ("index" + "-url", "extra-index" + "-url", "find" + "-links"))


def _sources() -> Iterator[tuple[Path, ast.Module]]:
    for package in ("libs", "services"):
        for file in sorted((CHECKOUT / package).rglob("*.py")):
            yield file, ast.parse(file.read_text(encoding="utf-8"))


def tracked_files() -> list[Path]:
    if not (CHECKOUT / ".git").exists():
        return [file for file in CHECKOUT.rglob("*") if file.is_file() and ".venv" not in file.parts]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=True, text=True)
    return [file for name in listed.stdout.split("\0") if name and (file := CHECKOUT / name).is_file()]


def _place(file: Path, node: ast.expr) -> str:
    return f"{file.relative_to(CHECKOUT)}:{node.lineno}"


def _name(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


def whole_document_writes(tree: ast.Module) -> Iterator[ast.Call]:
    """Calls that store a document whole, over whatever somebody else changed meanwhile.

    Beanie's ``document.replace()`` takes keywords only; ``str.replace`` and others take positional arguments.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node) in WHOLE_DOCUMENT_CALLS:
            yield node
        if isinstance(node, ast.Await) and isinstance(node.value, ast.Call):
            call = node.value
            if _name(call) == "replace" and not call.args:
                yield call


def foreign_patterns(tree: ast.Module) -> Iterator[ast.expr]:
    """Patterns of ``re`` that are not made of constants: ``re`` backtracks, and text from outside could hang it."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=name), args=[pattern, *_]):
                if name in REGEX_FUNCTIONS and not _is_own(pattern):
                    yield pattern
            case ast.ImportFrom(module="re"):
                raise AssertionError("import the module `re`, not its functions: this test looks for `re.…`")
            case _:
                continue


def _is_own(pattern: ast.expr) -> bool:
    match pattern:
        case ast.Constant():
            return True
        case ast.Name(id=name):
            return name.isupper()
        case ast.BinOp(left=left, right=right):
            return _is_own(left) and _is_own(right)
        case ast.JoinedStr(values=parts):
            return all(_is_own(part.value if isinstance(part, ast.FormattedValue) else part) for part in parts)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr="escape")):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="join"), args=[part]):
            return _is_own(part)
        case _:
            return False


def test_state_changes_by_compare_and_set_only() -> None:
    found = [_place(file, call) for file, tree in _sources() for call in whole_document_writes(tree)]
    assert found == [], "use an update with the expected state in its filter"


def test_no_text_from_outside_becomes_a_pattern_of_re() -> None:
    found = [_place(file, pattern) for file, tree in _sources() for pattern in foreign_patterns(tree)]
    assert found == [], "a user's pattern runs in the linear-time engine, see libs.patterns"


@pytest.mark.parametrize(
    "source",
    [
        "run.save()",
        "await template.save_changes()",
        "await run.replace(session=session)",
        "await runs.replace_one({}, document)",
    ],
)
def test_whole_document_writes_are_found(source: str) -> None:
    assert list(whole_document_writes(ast.parse(source, mode="exec")))


@pytest.mark.parametrize("source", ["text.replace('a', 'b')", "moment.replace(tzinfo=UTC)", "await catalog.replace(a)"])
def test_other_replacements_are_left_alone(source: str) -> None:
    assert not list(whole_document_writes(ast.parse(source)))


@pytest.mark.parametrize(
    ("source", "own"),
    [
        ("re.compile('a+')", True),
        ("re.compile('|'.join(WORDS))", True),
        ("re.compile(rf'{WORD}+' + re.escape(delimiter))", True),
        ("re.compile(rule.pattern)", False),
        ("re.search(f'^{pattern}$', text)", False),
    ],
)
def test_foreign_patterns_are_found(source: str, *, own: bool) -> None:
    assert (not list(foreign_patterns(ast.parse(source)))) is own


def test_tracked_files_name_no_registry_and_no_machine() -> None:
    found: list[str] = []
    for file in tracked_files():
        text = file.read_bytes().decode("utf-8", "replace")
        found += [
            f"{file.relative_to(CHECKOUT)}: {needle}"
            for needle in (*HOSTS, *MACHINE_PATHS, *INDEX_OPTIONS)
            if needle in text
        ]
    assert found == []


def test_the_lock_holds_exact_versions_only() -> None:
    lines = (CHECKOUT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    requirements = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert [line for line in requirements if "==" not in line.partition(";")[0]] == []
