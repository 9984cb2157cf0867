"""Certificates for the servers of one machine: ``python -m deploy.certificates DIRECTORY NAME…``.

Makes an authority, a certificate for servers of those names, and the keyfile by which members of a MongoDB replica set
know each other; once, what is there stays. For trying and for one machine: where there is an authority already, use
that one instead.
"""

import argparse
import base64
import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = timedelta(days=825)
"""Longer than that clients refuse."""
AUTHORITY, SERVER, KEYFILE = "authority.pem", "server.pem", "keyfile"


def make(directory: Path, names: Sequence[str]) -> bool:
    """Write ``authority.pem``, ``server.pem`` (its key before it) and ``keyfile``; whether they were not there yet.

    The key of the authority is not kept: who needs another certificate makes all of them anew.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / AUTHORITY).exists():
        return False
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Rowdock, servers of one machine")])
    authority = (
        _certificate(subject, subject, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    server = (
        _certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]), subject, server_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    # PKCS #8, the only form that Kafka reads.
    key = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(directory / KEYFILE, base64.b64encode(secrets.token_bytes(96)), 0o400)
    _write(directory / SERVER, key + server.public_bytes(serialization.Encoding.PEM), 0o400)
    # Last: by it is known that the others are there.
    _write(directory / AUTHORITY, authority.public_bytes(serialization.Encoding.PEM), 0o444)
    return True


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + VALID)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write(file: Path, content: bytes, mode: int) -> None:
    """Nobody but its owner may read a file at any moment, unless ``mode`` lets them."""
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)


def main() -> None:
    """Read the command line and make them."""
    parser = argparse.ArgumentParser(prog="python -m deploy.certificates", description=__doc__)
    parser.add_argument("directory", type=Path, metavar="DIRECTORY")
    parser.add_argument("names", nargs="+", metavar="NAME", help="by which clients know the servers")
    parser.add_argument("--owner", type=int, help="user id that the files are given to, as of a server's container")
    arguments = parser.parse_args()
    made = make(arguments.directory, arguments.names)
    if arguments.owner is not None:
        for name in (SERVER, KEYFILE, AUTHORITY):
            os.chown(arguments.directory / name, arguments.owner, arguments.owner)
    print(f"{arguments.directory}: {'made' if made else 'there already'}")


if __name__ == "__main__":
    main()
