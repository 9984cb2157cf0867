"""What schemathesis loads before it holds the gateway against its document; see ``test_document.py``.

Generated values alone hardly ever name something that there is, or make a template that means something. So two of
three requests name what was made for them, and have the body of ``tests.integration.gateway.matrix.table``. Of those
that cover a schema value by value, a thousand for a template, that would be the same request again and again: a few
are sent, and all that are sent as they were generated.
"""

import itertools
import json
import os
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis.core import NOT_SET
from schemathesis.generation.meta import TestPhase

from tests.integration.gateway.matrix.table import GOOD, Good
from tests.integration.gateway.steps import CSV

OWN_KEY: str = os.environ["ROWDOCK_OWN_KEY_ID"]
KNOWN: dict[str, list[str]] = json.loads(os.environ["ROWDOCK_KNOWN_IDS"])
"""Ids by the name of the parameter that they are for; ``rowporter_template_id`` for templates of that vocabulary."""
ENDED = {name: KNOWN[name][-1] for name in ("run_id", "import_id")}
STATUSES = Path(os.environ["ROWDOCK_STATUSES"])
"""Where a line is written for each answer: method, path, status."""
AS_GENERATED = 3
"""Of so many requests one is sent as it was generated."""
MOST_OF_ONE_BODY = 25
"""So often an operation gets the same good body while its schema is covered."""
_turns = itertools.count()
_covered = Counter[tuple[str, str]]()


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    """Leave out what would be the same request as others before."""
    del context
    operation = (case.method, case.path)
    if case.meta is None or case.meta.phase.name is not TestPhase.COVERAGE:
        return True
    if case.body is NOT_SET or GOOD.get(operation, Good()).json is None or not _names_something(case):
        return True
    _covered[operation] += 1
    return _covered[operation] <= MOST_OF_ONE_BODY


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Let a request name something that there is, and nothing end the key that everything is asked with."""
    del context, kwargs
    turn = next(_turns)
    if _names_something(case):
        for named in (case.path_parameters, case.query):
            for name in set(named or {}) & {*KNOWN, "template_id"}:
                named[name] = _known(case, name, turn)
        (case.query or {}).pop("tenant_id", None)
        for header in ("If-Match", "Idempotency-Key"):
            (case.headers or {}).pop(header, None)
        good = GOOD.get((case.method, case.path), Good())
        asked = {} if case.method == "POST" else case.query or {}
        case.query = {**asked, **{name: said for name, said in good.query.items() if "{" not in said}}
        if case.body is not NOT_SET:
            _use(case, good, turn)
    if case.path.endswith("/events"):  # where that of an open run would not end
        case.path_parameters |= ENDED
    if (case.path_parameters or {}).get("key_id") == OWN_KEY:
        case.path_parameters["key_id"] = "0" * 24


@schemathesis.hook
def after_call(context: schemathesis.HookContext, case: schemathesis.Case, response: schemathesis.Response) -> None:
    """Note the status."""
    del context
    with STATUSES.open("a") as file:
        file.write(f"{case.method} {case.path} {response.status_code}\n")


def _names_something(case: schemathesis.Case) -> bool:
    """Whether it is to name what was made for it, rather than be sent as it was generated: by what it is."""
    generated = (case.method, case.path, case.path_parameters, case.query, case.body)
    return zlib.crc32(repr(generated).encode()) % AS_GENERATED != 0


def _use(case: schemathesis.Case, good: Good, turn: int) -> None:
    if good.json is not None:
        named = {"{template_id}": KNOWN["template_id"][turn % len(KNOWN["template_id"])]}
        members = good.json.items() if isinstance(good.json, dict) else ()
        case.body = {
            key: named.get(value, value) if isinstance(value, str) else value for key, value in members
        } or good.json
    elif good.file and isinstance(case.body, dict):
        texts = {name: value for name, value in good.form.items() if name == "mapping"}
        ids = {name: _known(case, name, turn) for name in good.form.keys() - texts.keys()}
        case.body = {**texts, **ids, "file": CSV}


def _known(case: schemathesis.Case, name: str, turn: int) -> str:
    own = name == "template_id" and case.path.startswith("/api/v1/")
    # What is used up by others has things of its own.
    kept = f"{case.path.rpartition('/')[2]}_{name}"
    some = KNOWN["rowporter_template_id" if own else kept if kept in KNOWN else name]
    return some[turn % len(some)]
