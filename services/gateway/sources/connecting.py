"""Connections to servers that organizations name: to an address that was checked, and to no other."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from libs.egress.rules import IPNetwork, address_refusal
from services.gateway.sources.places import FaultCode, SourceFault

MAX_ADDRESSES_TRIED: Final = 3
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host."""


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Ask the system."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


async def connected(
    host: str, port: int, allowed_networks: Collection[IPNetwork], seconds: float, resolver: Resolver = system_resolver
) -> socket.socket:
    """A connection to a host, which is resolved once: all of its addresses are judged, and one of those is connected
    to.

    Raises:
        SourceFault: the host has no address, one that may not be reached, or none that answers.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _connected(host, port, allowed_networks, seconds, resolver)
    except TimeoutError:
        raise SourceFault(
            FaultCode.TIMED_OUT, f"{host}, port {port}, does not answer within {seconds:.0f} s", "host"
        ) from None


async def _connected(
    host: str, port: int, allowed_networks: Collection[IPNetwork], seconds: float, resolver: Resolver
) -> socket.socket:
    try:
        addresses = list(dict.fromkeys(await resolver(host, port)))
    except (OSError, UnicodeError):
        addresses = []
    if not addresses:
        raise SourceFault(FaultCode.NAME_NOT_RESOLVED, f"the name {host} has no address; check it", "host")
    for address in addresses:
        if refusal := address_refusal(address.partition("%")[0], allowed_networks):
            raise SourceFault(
                FaultCode.ADDRESS_REFUSED,
                f"{host} may not be reached: {refusal}; the operator can allow networks "
                "(ROWDOCK_SOURCE_ALLOWED_NETWORKS)",
                "host",
            )
    why = "no answer"
    tried = addresses[:MAX_ADDRESSES_TRIED]
    for address in tried:
        try:
            # Each gets its share of the time: a dead route must not hide a live address.
            async with asyncio.timeout(seconds / len(tried)):
                return await _connected_to(address, port)
        except TimeoutError:
            why = "no answer"
        except OSError as error:
            why = error.strerror or type(error).__name__
    raise SourceFault(FaultCode.CONNECTION_FAILED, f"{host}, port {port}, cannot be connected to: {why}", "host")


async def _connected_to(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.settimeout(0)
    try:
        await asyncio.get_running_loop().sock_connect(made, (address, port))
    except BaseException:
        made.close()
        raise
    return made
