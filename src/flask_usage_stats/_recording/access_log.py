"""The lines of access logs in JSON, as Traefik, Caddy and nginx write them.

Only the host, the time and the method of a request are read.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

#: What a line has: the host, the time (in seconds since 1970, or as ISO 8601 text with an offset) and the method.
_Parts: TypeAlias = tuple[object, object, object]

_SKIPPED_METHODS: Final = ("OPTIONS", "HEAD")
_MAX_HOST_LENGTH: Final = 300  # characters
# A clock that was not set must not let the history begin decades ago.
_EARLIEST: Final = 946_684_800  # 2000-01-01, in seconds since 1970
_CADDY_LOGGER: Final = "http.log.access"


class LoggedRequest(NamedTuple):
    """What is read of a request."""

    host: str
    #: Seconds since 1970.
    time: float


class UnreadableLineError(ValueError):
    """A line is not JSON, lacks a field, or is not about a request."""


def _find_traefik_parts(line: Mapping[str, Any]) -> _Parts:
    return line["RequestHost"], line["StartUTC"], line["RequestMethod"]


def _find_caddy_parts(line: Mapping[str, Any]) -> _Parts:
    request = line["request"]
    # Other loggers write about the same request, for example if its upstream does not respond.
    if not line.get("logger", _CADDY_LOGGER).startswith(_CADDY_LOGGER):
        raise UnreadableLineError
    return request["host"], line["ts"], request["method"]


def _find_nginx_parts(line: Mapping[str, Any]) -> _Parts:
    moment = line.get("msec")
    if isinstance(moment, str):
        moment = float(moment)
    host = line["host"] if "http_host" not in line else line.get("host") or line["http_host"]
    return host, moment or line["time_iso8601"], line["request_method"]


def _find_parts(line: Mapping[str, Any]) -> _Parts:
    if "RequestHost" in line:
        return _find_traefik_parts(line)
    return _find_caddy_parts(line) if "request" in line and "ts" in line else _find_nginx_parts(line)


#: The functions for each format; ``None`` tells the formats apart by their fields.
FORMATS: Final[Mapping[str | None, Callable[[Mapping[str, Any]], _Parts]]] = {
    None: _find_parts,
    "traefik": _find_traefik_parts,
    "caddy": _find_caddy_parts,
    "nginx": _find_nginx_parts,
}


def parse_line(line: bytes, find_parts: Callable[[Mapping[str, Any]], _Parts], latest: float) -> LoggedRequest | None:
    """Parse a line.

    :param find_parts: one of ``FORMATS``.
    :param latest: the greatest time that is plausible, in seconds since 1970.
    :returns: the request, or ``None`` if its method is not counted.
    :raises UnreadableLineError: the line is not JSON, or a field is missing or has a wrong value.
    """
    try:
        host, moment, method = find_parts(_decode(line))
        if isinstance(moment, str):
            instant = datetime.fromisoformat(moment)
            moment = None if instant.tzinfo is None else instant.timestamp()
        if (
            not isinstance(host, str)
            or len(host) > _MAX_HOST_LENGTH
            or not isinstance(method, str)
            or not isinstance(moment, int | float)
            or not _EARLIEST <= moment < latest  # also false for NaN
        ):
            raise UnreadableLineError
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise UnreadableLineError from error
    return None if method in _SKIPPED_METHODS else LoggedRequest(host, moment)


def _decode(line: bytes) -> Any:  # noqa: ANN401 # any JSON
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        # nginx logs bytes that are not UTF-8 as they are, and they must not keep a request from being counted.
        return orjson.loads(line.decode(errors="replace"))
