"""How Kafka is reached: what agrees with itself, and what is said where it does not."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from pydantic import ValidationError

from libs.messaging.connection import KafkaSettings
from tests.secured import Certificates

LOGIN = {"SASL_MECHANISM": "SCRAM-SHA-256", "USERNAME": "rowdock", "PASSWORD": "s3cret"}
KEY_PASSWORD = "open sesame"
NAMES = ("SECURITY_PROTOCOL", *LOGIN, "CA_FILE", "CERT_FILE", "KEY_FILE", "KEY_PASSWORD")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(f"ROWDOCK_KAFKA_{name}", raising=False)
    monkeypatch.setenv("ROWDOCK_KAFKA", "one:9092,two:9092")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.issue(tmp_path_factory.mktemp("files") / "certificates")


def read(monkeypatch: pytest.MonkeyPatch, **variables: object) -> KafkaSettings:
    for name, value in variables.items():
        monkeypatch.setenv(f"ROWDOCK_KAFKA_{name}", str(value))
    return KafkaSettings.model_validate({})


def test_without_a_word_nothing_is_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    options = read(monkeypatch, **dict.fromkeys(NAMES, "")).client_options()
    assert options == {
        "bootstrap_servers": ["one:9092", "two:9092"],
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
    }


@pytest.mark.parametrize("protocol", ["SASL_SSL", "SASL_PLAINTEXT"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_login_is_for_every_client(monkeypatch: pytest.MonkeyPatch, protocol: str, mechanism: str) -> None:
    options = read(
        monkeypatch, **{**LOGIN, "SASL_MECHANISM": mechanism, "SECURITY_PROTOCOL": protocol}
    ).client_options()
    context = options.pop("ssl_context")
    assert (context is None) == (protocol == "SASL_PLAINTEXT")
    assert options == {
        "bootstrap_servers": ["one:9092", "two:9092"],
        "security_protocol": protocol,
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "rowdock",
        "sasl_plain_password": "s3cret",
    }


def test_tls_trusts_the_given_authority_alone_and_checks_the_name(
    monkeypatch: pytest.MonkeyPatch, certificates: Certificates
) -> None:
    settings = read(
        monkeypatch,
        SECURITY_PROTOCOL="SSL",
        CA_FILE=certificates.authority,
        CERT_FILE=certificates.client,
        KEY_FILE=certificates.client,
    )
    context = settings.client_options()["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize("missing", LOGIN)
def test_an_incomplete_login_is_refused(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    given = {name: value for name, value in LOGIN.items() if name != missing}
    with pytest.raises(ValidationError, match=f"SASL_SSL needs ROWDOCK_KAFKA_{missing} too"):
        read(monkeypatch, SECURITY_PROTOCOL="SASL_SSL", **given)


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
@pytest.mark.parametrize("given", LOGIN)
def test_a_login_that_would_not_be_used_is_refused(monkeypatch: pytest.MonkeyPatch, protocol: str, given: str) -> None:
    with pytest.raises(ValidationError, match=f"ROWDOCK_KAFKA_{given} .*SASL_SSL or SASL_PLAINTEXT.*={protocol}"):
        read(monkeypatch, SECURITY_PROTOCOL=protocol, **{given: LOGIN[given]})


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_certificates_that_would_not_be_used_are_refused(
    monkeypatch: pytest.MonkeyPatch, certificates: Certificates, protocol: str
) -> None:
    login = LOGIN if protocol == "SASL_PLAINTEXT" else {}
    with pytest.raises(ValidationError, match=f"ROWDOCK_KAFKA_CA_FILE .*SSL or SASL_SSL.*={protocol}"):
        read(monkeypatch, SECURITY_PROTOCOL=protocol, CA_FILE=certificates.authority, **login)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"CA_FILE": "nowhere.pem"}, "kafka_ca_file"),
        ({"CA_FILE": "empty.pem"}, "ROWDOCK_KAFKA_CA_FILE: no certificates in PEM"),
        ({"CERT_FILE": "client.pem"}, "ROWDOCK_KAFKA_CERT_FILE and ROWDOCK_KAFKA_KEY_FILE belong together"),
        ({"KEY_FILE": "client.pem"}, "ROWDOCK_KAFKA_CERT_FILE and ROWDOCK_KAFKA_KEY_FILE belong together"),
        ({"CERT_FILE": "client.pem", "KEY_FILE": "authority.pem"}, "no certificate and its key in PEM"),
        ({"CERT_FILE": "client.pem", "KEY_FILE": "encrypted.pem"}, "right ROWDOCK_KAFKA_KEY_PASSWORD"),
    ],
)
def test_files_that_cannot_be_used_are_refused(
    monkeypatch: pytest.MonkeyPatch, certificates: Certificates, files: dict[str, str], says: str
) -> None:
    folder = certificates.client.parent
    (folder / "empty.pem").touch()
    encrypt(certificates.client, folder / "encrypted.pem")
    with pytest.raises(ValidationError, match=says):
        read(monkeypatch, SECURITY_PROTOCOL="SSL", **{name: folder / file for name, file in files.items()})


def test_an_encrypted_key_is_read_with_its_password(
    monkeypatch: pytest.MonkeyPatch, certificates: Certificates, tmp_path: Path
) -> None:
    encrypt(certificates.client, tmp_path / "encrypted.pem")
    files = {"CERT_FILE": certificates.client, "KEY_FILE": tmp_path / "encrypted.pem"}
    assert read(monkeypatch, SECURITY_PROTOCOL="SSL", KEY_PASSWORD=KEY_PASSWORD, **files).client_options()


def test_a_password_without_a_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="ROWDOCK_KAFKA_KEY_PASSWORD needs ROWDOCK_KAFKA_KEY_FILE"):
        read(monkeypatch, SECURITY_PROTOCOL="SSL", KEY_PASSWORD=KEY_PASSWORD)


@pytest.mark.parametrize("wrong", [{"SECURITY_PROTOCOL": "SSL"}, {"SASL_MECHANISM": ""}, {"CA_FILE": "nowhere.pem"}])
def test_no_password_is_shown(monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]) -> None:
    right = {"SECURITY_PROTOCOL": "SASL_SSL", **LOGIN}
    settings = read(monkeypatch, **right)
    assert "s3cret" not in f"{settings!r} {settings} {settings.model_dump_json()}"
    with pytest.raises(ValidationError) as refused:
        read(monkeypatch, **{**right, **wrong})
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("KAFKA_SECURITY_PROTOCOL", "TLS"), ("KAFKA_SASL_MECHANISM", "GSSAPI"), ("REPLICATION_FACTOR", "0")],
)
def test_what_cannot_be_meant_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"ROWDOCK_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        read(monkeypatch)


def encrypt(pem: Path, target: Path) -> None:
    """Write the key of a file again, so that it needs ``KEY_PASSWORD``."""
    key = serialization.load_pem_private_key(pem.read_bytes(), password=None)
    secured = serialization.BestAvailableEncryption(KEY_PASSWORD.encode())
    form = serialization.PrivateFormat.PKCS8
    target.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, secured))
