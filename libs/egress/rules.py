"""Which URLs, hosts and addresses a tenant may name, so that none can reach inside (SSRF): receivers of webhooks,
images, SFTP servers.

``url_problem`` judges the text, when a template is saved and again before every attempt.
``address_refusal`` judges each address of the host at connect time: a name may be pointed
somewhere else after the text was judged.
"""

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

MAX_URL_CHARS = 2_000
HTTPS_PORTS = frozenset({443, 8443})
MAX_PORT = 65_535

# An own table rather than ``ipaddress.is_global``: that one differs between patch releases of Python
# and calls multicast, NAT64, 6to4 and 192.0.0.192 global.
# IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890), in registry order.
_REFUSED_BLOCKS: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "this host (RFC 1122)"),
    ("10.0.0.0/8", "private network (RFC 1918)"),
    ("100.64.0.0/10", "carrier-grade NAT (RFC 6598)"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "virtual machine host of Azure"),
    ("169.254.0.0/16", "link-local, cloud metadata"),
    ("172.16.0.0/12", "private network (RFC 1918)"),
    ("192.0.0.0/24", "protocol assignments (RFC 6890)"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "AS112"),
    ("192.52.193.0/24", "AMT relays"),
    ("192.88.99.0/24", "6to4 relays"),
    ("192.168.0.0/16", "private network (RFC 1918)"),
    ("192.175.48.0/24", "AS112"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::1/128", "loopback"),
    ("::/96", "IPv4-compatible"),
    ("64:ff9b::/96", "NAT64"),
    ("64:ff9b:1::/48", "NAT64"),
    ("2001::/32", "Teredo"),
    ("2001::/23", "protocol assignments (RFC 2928)"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("3fff::/20", "documentation"),
    ("fc00::/7", "private network (RFC 4193)"),
    ("fe80::/10", "link-local"),
    ("ff00::/8", "multicast"),
)
_REFUSED: tuple[tuple[IPNetwork, str], ...] = tuple((ip_network(net), why) for net, why in _REFUSED_BLOCKS)
_GLOBAL_UNICAST = IPv6Network("2000::/3")

_PRINTABLE_ASCII = re.compile(r"[\x21-\x7e]+")
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_AUTHORITY = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*))(?::(.*))?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_BRACKETS = (
    "an IPv6 address stands alone in brackets, and nothing else does; write it like https://[2606:4700::1111]/path"
)
# ``2130706433``, ``0x7f.1`` and ``127.1`` are IPv4 addresses to every resolver (WHATWG URL standard,
# "ends in a number").
_ENDS_IN_A_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")


def address_refusal(
    address: str | IPAddress, allowed_networks: Collection[IPNetwork] = (), *, encrypted: bool = True
) -> str | None:
    """Why no connection may be made to an address, or ``None`` where it may.

    Args:
        address: what the host resolved to. IPv4 mapped into IPv6 is judged as IPv4.
        allowed_networks: networks that the operator opened; they override every refusal.
        encrypted: whether the connection speaks TLS; without it only ``allowed_networks`` may be reached.

    Raises:
        ValueError: ``address`` is not an IP address.
    """
    ip = _unmapped(ip_address(address))
    if any(ip in network for network in allowed_networks):
        return None
    if not encrypted:
        return "plain http is only for networks that the operator allows"
    for network, reason in _REFUSED:
        if ip in network:
            return reason
    if isinstance(ip, IPv6Address) and ip not in _GLOBAL_UNICAST:
        return "not a global address"
    return None


def url_problem(
    url: str,
    allowed_networks: Collection[IPNetwork] = (),
    https_ports: Collection[int] = HTTPS_PORTS,
) -> str | None:
    """What keeps a URL from being used, in a sentence for its owner, or ``None``.

    ``http`` passes for an address in ``allowed_networks``, and for a name where there are such networks:
    what it resolves to is then held against them at connect time. Neither is bound to ``https_ports``.
    """
    if problem := _text_problem(url):
        return problem
    try:
        parts = urlsplit(url)
    except ValueError:
        return _BRACKETS
    encrypted = parts.scheme == "https"
    if not encrypted and not (parts.scheme == "http" and allowed_networks):
        return "the URL must start with https://"
    authority = _authority(parts.netloc.lower())
    if isinstance(authority, str):
        return authority
    host, port = authority
    if problem := _host_problem(host, allowed_networks, encrypted=encrypted):
        return problem
    if encrypted and (port or 443) not in https_ports and not _is_allowed_literal(host, allowed_networks):
        return f"port {port} is not allowed; use one of {', '.join(map(str, sorted(https_ports)))}"
    return None


def host_problem(host: str, allowed_networks: Collection[IPNetwork] = ()) -> str | None:
    """What keeps a host, a name or an address without brackets, from being connected to, or ``None``.

    What a name resolves to is to be held against ``address_refusal`` at connect time.
    """
    if not _PRINTABLE_ASCII.fullmatch(host):
        return "the host may hold only printable ASCII; write other characters as xn--…"
    return _host_problem(host.lower(), allowed_networks, encrypted=True)


def _text_problem(url: str) -> str | None:
    if not url:
        return "the URL is empty; leave it out to have none"
    if len(url) > MAX_URL_CHARS:
        return f"the URL has {len(url):,} characters; at most {MAX_URL_CHARS:,} are allowed"
    if not _PRINTABLE_ASCII.fullmatch(url) or "\\" in url:
        return (
            "the URL may hold only printable ASCII without spaces and backslashes; "
            "write other characters as %XX, in the host as xn--…"
        )
    return None


def _authority(netloc: str) -> tuple[str, int | None] | str:
    """Host, without brackets, and port of a URL, or what is wrong with them.

    Strict, because what ``urlsplit`` overlooks (port 0, an empty port, text beside brackets) others may read.
    """
    if "@" in netloc:
        return "the URL may not hold a user name or password; leave them out"
    parts = _AUTHORITY.fullmatch(netloc)
    if parts is None or isinstance(_literal(netloc), IPv6Address):
        return _BRACKETS
    bracketed, name, port = parts.groups()
    if bracketed is not None and "%" in bracketed:
        return f"the address {bracketed!r} has a zone ('%…'), which only one machine understands; leave the zone out"
    if bracketed is not None and not isinstance(_literal(bracketed), IPv6Address):
        return _BRACKETS
    host = name if bracketed is None else bracketed
    if not host:
        return "the URL names no host; write it like https://example.com/path"
    if port is not None and not (_PORT.fullmatch(port) and int(port) <= MAX_PORT):
        return f"{port[:20]!r} is no port; use a number from 1 to {MAX_PORT}, or leave out the port and its ':'"
    return host, None if port is None else int(port)


def _host_problem(host: str, allowed_networks: Collection[IPNetwork], *, encrypted: bool) -> str | None:
    if host.endswith("."):
        return f"the host {host!r} has a dot at its end; leave it out"
    ip = _literal(host)
    if ip is None:
        if _HOST_NAME.fullmatch(host) and not _ENDS_IN_A_NUMBER.fullmatch(host):
            return None
        return f"{host!r} is neither a host name nor an IP address in its usual form; write it like example.com"
    refusal = address_refusal(ip, allowed_networks, encrypted=encrypted)
    return refusal and f"{host} may not be reached: {refusal}; use a public address"


def _is_allowed_literal(host: str, allowed_networks: Collection[IPNetwork]) -> bool:
    ip = _literal(host)
    return ip is not None and any(_unmapped(ip) in network for network in allowed_networks)


def _unmapped(ip: IPAddress) -> IPAddress:
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


def _literal(host: str) -> IPAddress | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
