"""Spellings of one host are equal, and others are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_usage_stats._core.hosts import list_spellings, normalize_host

EQUAL = [
    ("blog.example", ["BLOG.example", "blog.example.", "blog.example:443", "Blog.Example.:80", " blog.example "]),
    ("bücher.example", ["BÜCHER.example", "xn--bcher-kva.example", "XN--BCHER-KVA.EXAMPLE", "bu\u0308cher.example"]),
    ("bücher.example", ["bücher。example", "\uff42ücher\uff0eexample", "bücher.example:8080"]),
    ("straße.example", ["STRAßE.example", "xn--strae-oqa.example"]),
    ("2001:db8::1", ["[2001:DB8::1]", "[2001:db8::1]:443", "2001:0db8:0:0:0:0:0:1", "[2001:db8:0::1]"]),
    ("127.0.0.1", ["127.0.0.1:80"]),
    ("localhost", ["LOCALHOST:5000", "localhost:"]),
    ("a", ["A"]),
]
INVALID = [
    "",
    ".",
    ":80",
    "a:b",
    "blog.example:x",
    "blog.example:x8",
    "blog.example:\uff18",
    "[::1",
    "[::1]x",
    "[blog.example]",
    "::1::2",
    "a" * 256,
]


@pytest.mark.parametrize(("host", "spellings"), EQUAL, ids=str)
def test_equal_hosts(host, spellings):
    """Case, port, the last dot, the encoding and the form of an address do not matter."""
    assert {normalize_host(text) for text in (host, *spellings)} == {host}


@pytest.mark.parametrize("text", INVALID)
def test_invalid_hosts(text):
    """Other text is not a host."""
    assert normalize_host(text) is None


def test_the_longest_host():
    """A host has up to 255 characters."""
    assert normalize_host("A" * 255) == "a" * 255


def test_different_hosts():
    """Names that only look or sort alike are different."""
    capital = f"xn--{'Ä'.encode('punycode').decode()}.example"  # which no browser sends
    hosts = [
        capital,
        "ä.example",
        "strasse.example",
        "straße.example",
        "blog.example",
        "www.blog.example",
        "xn--.example",
        "bucher.example",
    ]
    assert len({normalize_host(host) for host in hosts}) == len(hosts)
    assert normalize_host(capital) == capital


def test_a_surrogate_in_punycode():
    """Such a name stays as it is, since a surrogate cannot be sent to the database."""
    assert normalize_host("xn--ib9b.example") == "xn--ib9b.example"


@pytest.mark.parametrize(("host", "spellings"), EQUAL, ids=str)
def test_list_of_spellings(host, spellings):
    """The list has the encoded name, the last dot and the brackets; the case of letters does not matter."""
    listed = {text.lower() for text in list_spellings(host)}
    assert {normalize_host(text) for text in listed} == {host}
    typical = [text for text in spellings if ":" not in text.partition("]")[2] and text.isascii() and " " not in text]
    assert {text.lower() for text in typical if text.count(":") != 1} - {"[2001:db8:0::1]", "2001:0db8:0:0:0:0:0:1"} <= listed  # fmt: skip


@given(st.text(max_size=300))
def test_any_text(text):
    """No text is an error, and a normalized host stays as it is."""
    host = normalize_host(text)
    if host is not None:
        assert host in list_spellings(host)
        assert normalize_host(host) == host
