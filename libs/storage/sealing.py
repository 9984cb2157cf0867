"""Secrets at rest: encrypted with the first of the operator's keys, readable with each of them.

So one key can take the place of another while everything runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, get_args

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import AfterValidator, BaseModel, SecretStr


class Standing(StrEnum):
    """With which key a secret is encrypted."""

    CURRENT = "current"
    """With the first."""
    OUTDATED = "outdated"
    """With one of the others."""
    UNREADABLE = "unreadable"
    """With none of them."""


class SecretKeys:
    """Fernet keys.

    Args:
        text: one, or several separated by commas: the first encrypts, each decrypts.

    Raises:
        ValueError: one of them is no Fernet key, or there is none.
    """

    def __init__(self, text: str) -> None:
        self._keys = [Fernet(part.strip()) for part in text.split(",")]
        self._all = MultiFernet(self._keys)

    def encrypt(self, content: bytes) -> bytes:
        """A secret as it is stored."""
        return self._all.encrypt(content)

    def decrypt(self, sealed: bytes | str) -> bytes:
        """A stored secret.

        Raises:
            cryptography.fernet.InvalidToken: none of the keys has encrypted it.
        """
        return self._all.decrypt(sealed)

    def renewed(self, sealed: bytes | str) -> bytes:
        """The same secret, encrypted with the first key; ``InvalidToken`` as ``decrypt``."""
        return self._all.rotate(sealed)

    def standing(self, sealed: bytes | str) -> Standing:
        """With which key a secret is encrypted."""
        for number, key in enumerate(self._keys):
            try:
                key.decrypt(sealed)
            except InvalidToken:
                continue
            return Standing.OUTDATED if number else Standing.CURRENT
        return Standing.UNREADABLE


def _usable(value: SecretStr) -> SecretStr:
    SecretKeys(value.get_secret_value())
    return value


SecretKeysText = Annotated[SecretStr, AfterValidator(_usable)]
"""``SecretKeys`` as a setting tells them."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """Marks a field of a document as encrypted, text or bytes: ``Annotated[str, Sealed()]``.

    Attributes:
        guard: a field of the same document that is another one by the time that the secret is another one; the secret
            itself where it says nothing. For what is too large to be compared.
    """

    guard: str | None = None


@dataclass(frozen=True, slots=True)
class SealedField:
    """An encrypted field; ``path`` and ``guard`` with dots, from the document."""

    path: str
    guard: str


def sealed_fields(model: type[BaseModel], above: str = "") -> Iterator[SealedField]:
    """The encrypted fields of a document, those of the models in it too."""
    for name, field in model.model_fields.items():
        path = f"{above}{name}"
        for mark in field.metadata:
            if isinstance(mark, Sealed):
                yield SealedField(path, mark.guard or path)
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from sealed_fields(part, f"{path}.")
