"""Several keys at once, and which fields are encrypted."""

import pytest
from cryptography.fernet import Fernet, InvalidToken

from libs.storage.resealing import SEALED_DOCUMENTS
from libs.storage.sealing import SealedField, SecretKeys, Standing

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))


def test_the_first_key_encrypts_and_each_decrypts() -> None:
    before, between, after = SecretKeys(OLD), SecretKeys(f"{NEW}, {OLD}"), SecretKeys(NEW)
    old, new = before.encrypt(b"secret"), between.encrypt(b"secret")
    assert between.decrypt(old) == between.decrypt(new) == after.decrypt(new) == b"secret"
    assert between.decrypt(old.decode()) == b"secret"
    with pytest.raises(InvalidToken):
        before.decrypt(new)
    assert [between.standing(each) for each in (new, old)] == [Standing.CURRENT, Standing.OUTDATED]
    assert after.decrypt(between.renewed(old)) == b"secret"
    assert [after.standing(each) for each in (old, b"none", "none")] == [Standing.UNREADABLE] * 3


@pytest.mark.parametrize("form", ["", "s3cret", "{key},", "{key},s3cret"])
def test_what_is_no_key(form: str) -> None:
    text = form.format(key=OTHER)
    with pytest.raises(ValueError, match="Fernet key"):
        SecretKeys(text)


def test_what_is_encrypted_is_what_the_models_mark() -> None:
    """A mark that is taken away would keep what it marked under its old key, which somebody removes then."""
    itself = ("encrypted_secret", "previous_secret")
    assert dict(SEALED_DOCUMENTS) == {
        "webhook_endpoints": tuple(SealedField(name, name) for name in itself),
        "sources": (SealedField("sftp.credentials", "sftp.credentials"),),
        "idempotency_keys": (SealedField("answer.body", "token"),),
    }
