"""From a stored source to its opened place."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cryptography.fernet import InvalidToken

from libs.egress.rules import IPNetwork
from libs.storage.documents import SourceDocument
from libs.storage.sealing import SecretKeys
from services.gateway.settings import GatewaySettings
from services.gateway.sources.connecting import Resolver, system_resolver
from services.gateway.sources.directories import open_directory
from services.gateway.sources.places import FaultCode, Place, SourceFault
from services.gateway.sources.sftp import Login, Patience, open_sftp


@dataclass(frozen=True, slots=True)
class Places:
    """Opens the places of sources.

    Attributes:
        cipher: encrypts credentials at rest.
        root: below which organizations have their folders; ``None`` where there are no watched directories.
        allowed_networks: networks that may be reached although they are not public.
        most_entries: how many entries of a place are looked at.
        patience: with servers.
        resolver: tells the addresses of hosts.
    """

    cipher: SecretKeys
    root: Path | None
    allowed_networks: tuple[IPNetwork, ...] = ()
    most_entries: int = 100_000
    patience: Patience = field(default_factory=Patience)
    resolver: Resolver = system_resolver

    @classmethod
    def of(cls, settings: GatewaySettings) -> Self:
        """As the operator has set it."""
        return cls(
            settings.secret_keys,
            settings.sources_directory,
            settings.source_allowed_networks,
            settings.max_source_entries,
        )

    def sealed(self, password: str | None, private_key: str | None) -> str:
        """Credentials as they are stored."""
        content = json.dumps({"password": password, "private_key": private_key})
        return self.cipher.encrypt(content.encode()).decode()

    @asynccontextmanager
    async def opened(self, source: SourceDocument) -> AsyncGenerator[Place]:
        """The place of a source.

        Raises:
            SourceFault: it cannot be opened.
        """
        put_away = frozenset({source.done_directory.encode(), source.failed_directory.encode()})
        if source.leave:
            put_away = frozenset[bytes]()
        if source.sftp is None:
            async with open_directory(
                self.root,
                source.tenant_id,
                source.directory,
                subdirectories=source.subdirectories,
                put_away=put_away,
                most=self.most_entries,
            ) as directory:
                yield directory
            return
        async with open_sftp(
            await asyncio.to_thread(self._login, source),
            source.directory,
            subdirectories=source.subdirectories,
            put_away=put_away,
            most=self.most_entries,
            allowed_networks=self.allowed_networks,
            patience=self.patience,
            resolver=self.resolver,
        ) as server:
            yield server

    def _login(self, source: SourceDocument) -> Login:
        server = source.sftp
        assert server is not None
        try:
            secrets: dict[str, Any] = json.loads(self.cipher.decrypt(server.credentials))
        except InvalidToken:
            raise SourceFault(
                FaultCode.CREDENTIALS_UNREADABLE,
                "the stored credentials cannot be decrypted: ROWDOCK_SECRET_KEY is another one; give them again",
                "password",
            ) from None
        return Login(
            host=server.host,
            port=server.port,
            username=server.username,
            host_keys=server.host_keys,
            password=secrets.get("password"),
            private_key=secrets.get("private_key"),
        )
