"""Certificates for the servers of one machine: clients that trust the authority take them."""

import ssl
from pathlib import Path

from cryptography import x509

from deploy.certificates import make


def test_they_are_made_once_and_only_their_owner_reads_the_keys(tmp_path: Path) -> None:
    assert make(tmp_path / "made", ["kafka", "localhost"])
    files = {file.name: file for file in (tmp_path / "made").iterdir()}
    before = {name: file.read_bytes() for name, file in files.items()}
    assert not make(tmp_path / "made", ["kafka"])
    assert {name: file.read_bytes() for name, file in files.items()} == before
    assert {name: oct(file.stat().st_mode & 0o777) for name, file in files.items()} == {
        "authority.pem": "0o444", "server.pem": "0o400", "keyfile": "0o400",
    }  # fmt: skip
    assert 6 <= len(before["keyfile"]) <= 1024, "as mongod takes it"


def test_the_server_is_who_it_says(tmp_path: Path) -> None:
    make(tmp_path, ["kafka", "localhost"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(tmp_path / "server.pem")
    client_context = ssl.create_default_context(cafile=tmp_path / "authority.pem")
    client = client_context.wrap_bio(incoming, outgoing, server_hostname="kafka")
    server = server_context.wrap_bio(outgoing, incoming, server_side=True)
    for _ in range(10):
        done = 0
        for side in (client, server):
            try:
                side.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                continue
        if done == 2:
            break
    assert client.getpeercert()
    authority = x509.load_pem_x509_certificate((tmp_path / "authority.pem").read_bytes())
    certificate = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes())
    certificate.verify_directly_issued_by(authority)
