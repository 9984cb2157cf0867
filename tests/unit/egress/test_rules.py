"""Which addresses and URLs a webhook may reach."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.egress.rules import MAX_URL_CHARS, address_refusal, url_problem

LOCAL = (ip_network("127.0.0.0/8"), ip_network("172.30.0.0/16"))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - an address to refuse, not one to listen on
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "168.63.129.16",
        "169.254.169.254",
        "172.31.255.255",
        "192.0.0.192",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_internal_addresses_are_refused(address: str) -> None:
    assert address_refusal(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "::ffff:8.8.8.8", "2606:4700:4700::1111"])
def test_public_addresses_are_reached_with_tls_only(address: str) -> None:
    assert address_refusal(address) is None
    assert address_refusal(address, LOCAL, encrypted=False)


@given(st.ip_addresses())
def test_whatever_python_calls_internal_is_refused(address: IPv4Address | IPv6Address) -> None:
    if address.is_private or address.is_multicast or address.is_reserved or address.is_link_local:
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        assert address_refusal(address) == (address_refusal(mapped) if mapped else address_refusal(address))
        assert mapped or address_refusal(address)


@given(st.ip_addresses(v=4))
def test_mapped_is_judged_as_ipv4(address: IPv4Address) -> None:
    assert address_refusal(f"::ffff:{address}") == address_refusal(address)
    assert address_refusal(f"::ffff:{address}", LOCAL, encrypted=False) == address_refusal(
        address, LOCAL, encrypted=False
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "172.30.1.2", "::ffff:127.0.0.1"])
def test_the_operator_may_open_networks(address: str) -> None:
    assert address_refusal(address, LOCAL) is None
    assert address_refusal(address, LOCAL, encrypted=False) is None


def test_an_open_network_opens_no_other() -> None:
    assert address_refusal("10.0.0.1", LOCAL)
    assert address_refusal("::1", LOCAL)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/hooks;v=1?a=b",
        "https://EXAMPLE.com:8443/",
        "https://xn--bcher-kva.example/",
        "https://my_host-1.example/",
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]:443/",
        "https://[2606:4700:4700:0::1111]/",
        "https://example.com?a=b#c",
    ],
)
def test_receivers_on_the_internet(url: str) -> None:
    assert url_problem(url) is None


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("", "is empty"),
        ("example.com", "https://"),
        ("http://example.com/", "https://"),
        ("ftp://example.com/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("https://", "names no host"),
        ("https:///path", "names no host"),
        ("https:example.com", "names no host"),
        ("https:////example.com/", "names no host"),
        ("https://:443/", "names no host"),
        ("https://user:secret@example.com/", "user name"),
        ("https://example.com@127.0.0.1/", "user name"),
        ("https://example.com:22/", "port 22"),
        ("https://example.com:0/", "from 1 to 65535"),
        ("https://[2606:4700:4700::1111]:0/", "from 1 to 65535"),
        ("https://example.com:99999/", "from 1 to 65535"),
        ("https://example.com:-1/", "from 1 to 65535"),
        ("https://example.com:4_43/", "from 1 to 65535"),
        ("https://example.com:443x/", "from 1 to 65535"),
        ("https://example.com:/", "from 1 to 65535"),
        ("https://example.com:0443/", "from 1 to 65535"),
        ("https://example.com:443:443/", "from 1 to 65535"),
        ("https://[::1/", "brackets"),
        ("https://::1/", "brackets"),
        ("https://2606:4700:4700::1111/", "brackets"),
        ("https://[example.com]/", "brackets"),
        ("https://[8.8.8.8]/", "brackets"),
        ("https://[v1.fe80]/", "brackets"),
        ("https://[2606:4700:4700::1111]example.com/", "brackets"),
        ("https://example.com[2606:4700:4700::1111]/", "brackets"),
        ("https://[2606:4700:4700::1111%25eth0]/", "zone"),
        ("https://[fe80::1%eth0]/", "zone"),
        ("https://example.com./", "dot at its end"),
        ("https://example.com/a b", "printable ASCII"),
        ("https://example.com/\r\nX-Evil: 1", "printable ASCII"),
        ("https://example.com\\@127.0.0.1/", "backslashes"),
        ("https://①②⑦.0.0.1/", "printable ASCII"),
        ("https://bücher.example/", "xn--"),
        ("https://127.0.0.1/", "loopback"),
        ("https://[::1]/", "loopback"),
        ("https://[::ffff:127.0.0.1]/", "loopback"),
        ("https://[64:ff9b::7f00:1]/", "NAT64"),
        ("https://169.254.169.254/latest/meta-data", "metadata"),
        ("https://2130706433/", "usual form"),
        ("https://0x7f.1/", "usual form"),
        ("https://0x7f000001/", "usual form"),
        ("https://127.1/", "usual form"),
        ("https://0177.0.0.1/", "usual form"),
        ("https://0/", "usual form"),
        ("https://127.0.0.1./", "dot at its end"),
        ("https://example..com/", "usual form"),
        ("https://exa%6dple.com/", "usual form"),
        (f"https://example.com/{'a' * MAX_URL_CHARS}", "characters"),
    ],
)
def test_what_is_wrong_with_a_url(url: str, part: str) -> None:
    problem = url_problem(url) or ""
    assert part in problem
    assert len(problem) < 250


def test_open_networks_take_http_and_any_port() -> None:
    assert url_problem("http://127.0.0.1:9000/hook", LOCAL) is None
    assert url_problem("https://127.0.0.1:9000/hook", LOCAL) is None
    assert url_problem("http://[::ffff:127.0.0.1]:9000/hook", LOCAL) is None
    assert url_problem("http://receiver:8080/hook", LOCAL) is None
    assert "plain http" in (url_problem("http://8.8.8.8/", LOCAL) or "")
    assert "port 22" in (url_problem("https://8.8.8.8:22/", LOCAL) or "")
    assert "loopback" in (url_problem("https://[::1]/", LOCAL) or "")
    for url in ("http://127.0.0.1:0/", "https://127.0.0.1:0/", "http://receiver:0/"):
        assert "from 1 to 65535" in (url_problem(url, LOCAL) or "")


@given(st.text(max_size=80) | st.text(alphabet="https:/@[]%.\\#?0123456789abcx", max_size=40).map("https://".__add__))
def test_any_text_gets_an_answer(url: str) -> None:
    problem = url_problem(url, LOCAL)
    assert problem is None or problem


def test_an_address_must_be_one() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        address_refusal("example.com")
    assert address_refusal(ip_address("8.8.8.8")) is None
