"""Lines of access logs: host, time and method, whatever else they contain."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_usage_stats._recording.access_log import FORMATS, LoggedRequest, UnreadableLineError, parse_line

TIME = 1795601730.5
#: The fields that each server writes by default.
TRAEFIK = {
    "ClientAddr": "192.0.2.1:51234",
    "ClientHost": "192.0.2.1",
    "DownstreamStatus": 200,
    "Duration": 1234567,
    "RequestAddr": "blog.example:8443",
    "RequestHost": "blog.example",
    "RequestMethod": "GET",
    "RequestPath": "/a?b=c",
    "RouterName": "blog@docker",
    "StartLocal": "2026-11-25T11:15:30.5+01:00",
    "StartUTC": "2026-11-25T10:15:30.500000789Z",
    "level": "info",
    "time": "2026-11-25T10:15:31Z",
}
CADDY = {
    "level": "info",
    "ts": TIME,
    "logger": "http.log.access.log0",
    "msg": "handled request",
    "request": {"remote_ip": "192.0.2.1", "proto": "HTTP/2.0", "method": "GET", "host": "blog.example", "uri": "/a"},
    "status": 200,
}
NGINX = {"host": "blog.example", "msec": "1795601730.500", "request_method": "GET"}
SAMPLES = {"traefik": TRAEFIK, "caddy": CADDY, "nginx": NGINX}


def parse(line, name=None):
    return parse_line(line if isinstance(line, bytes) else json.dumps(line).encode(), FORMATS[name], TIME + 60)


@pytest.mark.parametrize("name", SAMPLES)
def test_formats(name):
    """Each format is told by its fields, or named."""
    assert parse(SAMPLES[name]) == parse(SAMPLES[name], name) == LoggedRequest("blog.example", TIME)


@pytest.mark.parametrize("other", SAMPLES)
@pytest.mark.parametrize("name", SAMPLES)
def test_named_format(name, other):
    """If a format is named, lines of others are unreadable."""
    if name != other:
        with pytest.raises(UnreadableLineError):
            parse(SAMPLES[name], other)


@pytest.mark.parametrize(
    "line",
    [
        {"http_host": "blog.example", "msec": TIME, "request_method": "GET"},
        {"host": "", "http_host": "blog.example", "msec": TIME, "request_method": "GET"},
        {"host": "blog.example", "time_iso8601": "2026-11-25T11:15:30.5+01:00", "request_method": "GET"},
        CADDY | {"ts": "2026-11-25T10:15:30.500Z"},
        TRAEFIK | {"StartUTC": "2026-11-25T10:15:30.5Z"},
    ],
)
def test_other_fields(line):
    """A host or a time may be in another field, or written otherwise."""
    assert parse(line) == LoggedRequest("blog.example", TIME)


@pytest.mark.parametrize("line", [{"host": ""}, {"http_host": ""}, {"host": "", "http_host": ""}], ids=str)
@pytest.mark.parametrize("name", [None, "nginx"])
def test_requests_without_a_host(name, line):
    """What is not HTTP is logged by nginx with an empty host and method: that is readable, and the host unknown."""
    assert parse(line | {"msec": TIME, "request_method": ""}, name) == LoggedRequest("", TIME)


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD"])
@pytest.mark.parametrize("line", [TRAEFIK, NGINX, CADDY])
def test_skipped_methods(line, method):
    """Requests with these methods are not counted, as in an application."""
    line = json.loads(json.dumps(line).replace('"GET"', f'"{method}"'))
    assert parse(line) is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b'"text"',
        b'192.0.2.1 - - [25/Nov/2026:10:15:30 +0000] "GET / HTTP/1.1" 200 5',
        b'{"host": "\xff", "msec": 1, "request_method": "GET"',
        {},
        {"msec": TIME, "request_method": "GET"},
        NGINX | {"host": 7},
        NGINX | {"host": "a" * 301},
        NGINX | {"msec": "x"},
        NGINX | {"msec": "nan"},
        NGINX | {"msec": "1e999"},
        NGINX | {"msec": -5},
        NGINX | {"msec": 12.5},
        NGINX | {"msec": TIME + 61},
        NGINX | {"msec": None},
        NGINX | {"request_method": None},
        TRAEFIK | {"StartUTC": "2026-11-25T10:15:30"},
        TRAEFIK | {"StartUTC": "25 Nov 2026"},
        TRAEFIK | {"StartUTC": None},
        CADDY | {"request": "GET"},
        CADDY | {"ts": {}},
    ],
    ids=str,
)
def test_unreadable_lines(line):
    """A line that is not JSON, that lacks a field or that has a wrong value is an error of one kind."""
    with pytest.raises(UnreadableLineError):
        parse(line)


@pytest.mark.parametrize("name", [None, "nginx"])
def test_bytes_that_are_not_utf_8(name):
    """A client cannot keep a request from being counted by a header or a path that nginx logs as it is."""
    line = b'{"host":"blog.example","msec":1795601730.500,"request_method":"GET","user_agent":"\xff","path":"/\xe9"}'
    assert parse(line, name) == LoggedRequest("blog.example", TIME)
    assert parse(line.replace(b"blog", b"bl\xf6g"), name) == LoggedRequest("bl\ufffdg.example", TIME)


@pytest.mark.parametrize("name", [None, "caddy"])
def test_other_loggers_of_caddy(name):
    """A request that failed is counted once, although Caddy's log of errors can be in the same file."""
    without = {key: value for key, value in CADDY.items() if key != "logger"}
    for line in (without, CADDY, CADDY | {"logger": "http.log.access"}):
        assert parse(line, name) == LoggedRequest("blog.example", TIME)
    for logger in ("http.log.error", "http.log.error.log0", "http.handlers.reverse_proxy", None):
        with pytest.raises(UnreadableLineError):
            parse(CADDY | {"logger": logger}, name)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(list(SAMPLES.values())), st.data())
def test_any_value(line, data):
    """Whatever a field has, the line is either read or unreadable."""
    changed = line | {data.draw(st.sampled_from(sorted(line))): data.draw(VALUES)}
    try:
        request = parse(json.dumps(changed, default=str).encode())
    except UnreadableLineError:
        return
    assert request is None or (isinstance(request.host, str) and 0 <= request.time < TIME + 60)
