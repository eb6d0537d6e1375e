"""Origins, URLs and addresses: what is read as what, and what may be connected."""

from __future__ import annotations

import ipaddress

import pytest

from turnwise.tools.kinds.http_address import (
    AddressError,
    WebOrigin,
    is_public,
    may_connect,
    read_entry,
    read_target,
)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("api.example.com", WebOrigin("https", "api.example.com", 443)),
        ("API.Example.com.:8443", WebOrigin("https", "api.example.com", 8443)),
        ("http://localhost:8000", WebOrigin("http", "localhost", 8000)),
        ("*.example.com", WebOrigin("https", "*.example.com", 443)),
        ("http://127.0.0.1", WebOrigin("http", "127.0.0.1", 80)),
        ("[2001:DB8:0::1]:80", WebOrigin("https", "2001:db8::1", 80)),
    ],
)
def test_entries(text: str, origin: WebOrigin) -> None:
    assert read_entry(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "", "*", "*.com", "*.1.2.3.4", "a*.example.com", "https://a/b", "ftp://a", "a:0", "a:65536", "a:99999999999",
        "a b", "user@host", "zwölf.example", "a..b", "-", "::1", "[127.0.0.1]", "[fe80::1%eth0]", "[::1", "a:b", "a/",
    ],
)  # fmt: skip
def test_what_is_no_entry(text: str) -> None:
    with pytest.raises(AddressError):
        read_entry(text)


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        ("https://api.example.com", "https://api.example.com/"),
        ("HTTPS://API.example.com.:443/A?b=c#d", "https://api.example.com/A?b=c"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("https://a/zwölf ".strip(), "https://a/zw%C3%B6lf"),
        ('https://a/"<>{}|^`?"<>', "https://a/%22%3C%3E%7B%7D%7C%5E%60?%22%3C%3E"),
        ("https://a/../b", "https://a/../b"),
        ("https://a?x", "https://a/?x"),
    ],
)
def test_urls(text: str, read_as: str) -> None:
    assert str(read_target(text)) == read_as


@pytest.mark.parametrize(
    "text",
    [
        "", "api.example.com", "//a/b", "file:///etc/passwd", "ftp://a/", "javascript:x", "https:/a", "https://",
        "https://user:secret@a/", "https://a@b/", "https://a\\@b/", "https://a/\r\nHost: b", "https://a/\n", "https://a\t/",
        "https://a/ b", "https://a:x/", "https://a:0/", "https://a:65536/", "https://[::1/", "https://zwölf/",
        "https://a%2fb/", "https://http://a/", "https://a/" + "x" * 9000, "https://a/\ud800", "https://ⓐ/",
    ],
)  # fmt: skip
def test_what_is_no_url(text: str) -> None:
    with pytest.raises(AddressError):
        read_target(text)


@pytest.mark.parametrize(
    ("entry", "url", "covered"),
    [
        ("example.com", "https://example.com/", True),
        ("example.com", "https://EXAMPLE.com.:443/", True),
        ("example.com", "http://example.com/", False),
        ("example.com", "https://example.com:8443/", False),
        ("example.com", "https://www.example.com/", False),
        ("example.com", "https://example.com.evil.org/", False),
        ("example.com", "https://notexample.com/", False),
        ("*.example.com", "https://a.b.example.com/", True),
        ("*.example.com", "https://example.com/", False),
        ("*.example.com", "https://notexample.com/", False),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/", True),
        ("http://127.0.0.1", "http://127.1/", False),
        ("http://127.0.0.1", "http://2130706433/", False),
        ("http://127.0.0.1", "http://0x7f.0.0.1/", False),
        ("http://[::1]", "http://[0:0::1]/", True),
    ],
)
def test_which_urls_an_entry_stands_for(entry: str, url: str, covered: bool) -> None:
    assert read_entry(entry).covers(read_target(url).origin) is covered


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254", "0.0.0.0",
        "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "192.0.0.192", "::", "::1", "fe80::1", "fc00::1",
        "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "64:ff9b::7f00:1",
        "2002:7f00:1::", "2001::1", "2001:db8::1", "::127.0.0.1", "64:ff9b:1::1", "100::1", "fec0::1", "3fff::1",
        "5f00::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    assert not may_connect(ipaddress.ip_address(address), "example.com", ())


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "172.32.0.1", "192.167.255.255", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_addresses(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


def test_every_network_that_the_standard_library_sets_apart_is_set_apart() -> None:
    """The first and last addresses of each block of 2^-12 of the space, as far as the library calls them private."""
    for number in range(0, 2**32, 2**20):
        address = ipaddress.IPv4Address(number)
        if address.is_private or address.is_multicast or address.is_reserved or address.is_link_local:
            assert not is_public(address), address


def test_a_world_can_allow_what_is_not_public() -> None:
    ten = ipaddress.ip_network("10.0.0.0/8")
    assert may_connect(ipaddress.ip_address("10.1.2.3"), "a", (ten,))
    assert may_connect(ipaddress.ip_address("::ffff:10.1.2.3"), "a", (ten,))
    assert not may_connect(ipaddress.ip_address("192.168.0.1"), "a", (ten,))
    assert may_connect(ipaddress.ip_address("127.0.0.1"), "127.0.0.1", ())
    assert not may_connect(ipaddress.ip_address("127.0.0.1"), "localhost", ())
    assert not may_connect(ipaddress.ip_address("::1"), "127.0.0.1", ())
