"""``python -m deploy.doctor``: look at a deployment, with the environment of one of its services.

Changes nothing. The exit code is 1 where there is a problem, 0 where there are at most warnings.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict

from pydantic import SecretStr

from deploy.doctor.findings import Finding, Grade
from deploy.doctor.kafka import look_at_kafka
from deploy.doctor.mongodb import look_at_mongodb
from deploy.mongodb_roles import LOGS_IN_AS, SERVICES
from libs.messaging.connection import KafkaSettings
from libs.storage.settings import MongoSettings

MARKS = {Grade.GOOD: "ok     ", Grade.WARNING: "warning", Grade.PROBLEM: "PROBLEM"}


async def look(service: str | None) -> list[Finding]:
    """Everything, MongoDB first."""
    key = os.environ.get("ROWDOCK_SECRET_KEY")
    return [
        *await look_at_mongodb(
            MongoSettings.model_validate({}),
            LOGS_IN_AS.get(service, service) if service else None,
            SecretStr(key) if key else None,
        ),
        *await look_at_kafka(KafkaSettings.model_validate({}), service=service),
    ]


def report(findings: Sequence[Finding], *, as_json: bool) -> str:
    """For people, with what mends it below each; or a line of JSON for each finding."""
    if as_json:
        return "".join(json.dumps(asdict(each)) + "\n" for each in findings)
    lines: list[str] = []
    for each in findings:
        lines.append(f"{MARKS[each.grade]} {each.subject}: {each.text}\n")
        if each.remedy:
            lines.append(f"        → {each.remedy}\n")
    return "".join(lines)


def main() -> int:
    """Read the command line, look, tell."""
    parser = argparse.ArgumentParser(prog="python -m deploy.doctor", description=__doc__)
    parser.add_argument("--service", choices=sorted((*SERVICES, *LOGS_IN_AS)), help="whose rights to look for")
    parser.add_argument("--json", action="store_true", help="print lines of JSON")
    arguments = parser.parse_args()
    findings = asyncio.run(look(arguments.service))
    sys.stdout.write(report(findings, as_json=arguments.json))
    return int(any(each.grade is Grade.PROBLEM for each in findings))


if __name__ == "__main__":
    sys.exit(main())
