"""What a careful person's script does with a row of contacts: the same transforms, rules and types as the template.

It knows this one file, and how its dates, numbers and booleans are written. It does without what an import does beyond
that: nothing survives a crash, nobody else may write meanwhile, and there is no report but the list of rejected rows.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bench.datasets import CITIES

_ID = re.compile(r"C[0-9]{7}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_ACTIVE = {"yes": True, "no": False}


def judge(row: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The record of a row, and what is wrong with it."""
    record: dict[str, Any] = {
        "id": row["id"].strip(),
        "first_name": row["first_name"].strip(),
        "last_name": row["last_name"].strip().upper(),
        "email": row["email"].strip().lower(),
        "phone": row["phone"].replace(" ", ""),
        "city": row["city"].strip(),
        "notes": row["notes"].strip(),
    }
    errors = _judge_texts(record)
    date, balance, active = row["signup_date"], row["balance"], row["active"]
    try:
        record["signup_date"] = date if isinstance(date, datetime) else datetime.fromisoformat(date)
    except ValueError:
        errors.append("signup_date is no date")
    try:
        record["balance"] = float(balance)
    except ValueError:
        errors.append("balance is no number")
    else:
        if record["balance"] < 0:
            errors.append("balance is less than 0")
    if active in _ACTIVE:
        record["active"] = _ACTIVE[active]
    else:
        errors.append("active is neither yes nor no")
    return record, errors


def _judge_texts(record: Mapping[str, str]) -> list[str]:
    errors = [f"{name} is required" for name in ("id", "first_name", "email") if not record[name]]
    if not _ID.fullmatch(record["id"]):
        errors.append("id is not C and 7 digits")
    if len(record["last_name"]) > 50:
        errors.append("last_name is longer than 50 characters")
    if not _EMAIL.fullmatch(record["email"]):
        errors.append("email is no e-mail address")
    if record["city"] not in CITIES:
        errors.append("city is not one of the known ones")
    return errors
