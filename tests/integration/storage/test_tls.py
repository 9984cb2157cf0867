"""A mongod that asks for TLS and a certificate is reached by the options of its connection string."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from pydantic import SecretStr

from libs.storage.client import connect
from libs.storage.settings import MongoSettings
from tests.secured import Certificates, secured_mongod

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Certificates]]:
    with secured_mongod(tmp_path_factory.mktemp("mongod")) as started:
        yield started


def settings(uri: str, **options: str | Path) -> MongoSettings:
    return MongoSettings(mongodb=SecretStr(f"{uri}&{urlencode(options)}"))


async def test_a_certificate_lets_in(secured: tuple[str, Certificates]) -> None:
    uri, certificates = secured
    mongo = await connect(
        settings(uri, tls="true", tlsCAFile=certificates.authority, tlsCertificateKeyFile=certificates.client)
    )
    await mongo.transaction(lambda session: mongo.state["things"].insert_one({"_id": 1}, session=session))
    assert await mongo.state["things"].count_documents({}) == 1
    await mongo.client.close()


PROGRAM = """
import asyncio
from libs.storage.client import connect
from libs.storage.settings import MongoSettings

asyncio.run(connect(MongoSettings.model_validate({})))
"""


def test_a_process_that_is_not_let_in_ends_and_says_why(secured: tuple[str, Certificates], tmp_path: Path) -> None:
    uri, certificates = secured
    foreign = Certificates.issue(tmp_path / "foreign")
    password = uri.replace("mongodb://", "mongodb://rowdock:s3cret@")
    refusals = (
        (settings(password, tls="true", tlsCAFile=foreign.authority), "CERTIFICATE_VERIFY_FAILED"),
        (settings(password, tls="true", tlsCAFile=certificates.authority), "closed|reset|certificate required"),
        (settings(password, tls="false"), "closed|reset"),
        (settings(password, tls="true", tlsCAFile=tmp_path / "nowhere.pem"), "nowhere.pem"),
    )
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "ROWDOCK_MONGODB": refused.mongodb.get_secret_value()},
            stderr=subprocess.PIPE,
            text=True,
        )
        for refused, _ in refusals
    ]
    for program, (_, reason) in zip(programs, refusals, strict=True):
        _, said = program.communicate(timeout=120)
        assert program.returncode
        assert re.search(reason, said.splitlines()[-1]), said
        assert "s3cret" not in said
