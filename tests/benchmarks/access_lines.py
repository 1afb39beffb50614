"""Lines of access logs as Traefik, Caddy and nginx write them, with all of their usual fields."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

HOSTS = 1_000
_HOURS = 6  # over which the times are spread
_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
_METHODS = ("GET",) * 8 + ("POST", "HEAD")


def _traefik(host: str, moment: datetime, method: str, random: Random) -> dict[str, Any]:
    start, size = f"{moment:%Y-%m-%dT%H:%M:%S}", random.randrange(200_000)
    fraction, duration = random.randrange(10**9), random.randrange(10**8)
    return {
        "ClientAddr": f"192.0.2.{random.randrange(256)}:{random.randrange(1024, 65536)}",
        "ClientHost": "192.0.2.1",
        "ClientPort": "51234",
        "ClientUsername": "-",
        "DownstreamContentSize": size,
        "DownstreamStatus": 200,
        "Duration": duration,
        "GzipRatio": 0,
        "OriginContentSize": size,
        "OriginDuration": duration - 20_000,
        "OriginStatus": 200,
        "Overhead": 20_000,
        "RequestAddr": host,
        "RequestContentSize": 0,
        "RequestCount": random.randrange(10**8),
        "RequestHost": host,
        "RequestMethod": method,
        "RequestPath": f"/assets/{random.getrandbits(64):016x}.js?v={random.randrange(1000)}",
        "RequestPort": "-",
        "RequestProtocol": "HTTP/2.0",
        "RequestScheme": "https",
        "RetryAttempts": 0,
        "RouterName": f"project-{random.randrange(HOSTS)}@docker",
        "ServiceAddr": "10.0.4.17:8000",
        "ServiceName": "project@docker",
        "ServiceURL": "http://10.0.4.17:8000",
        "StartLocal": f"{start}.{fraction:09}Z",
        "StartUTC": f"{start}.{fraction:09}Z",
        "TLSCipher": "TLS_AES_128_GCM_SHA256",
        "TLSVersion": "1.3",
        "entryPointName": "websecure",
        "level": "info",
        "msg": "",
        "time": f"{start}Z",
    }


def _caddy(host: str, moment: datetime, method: str, random: Random) -> dict[str, Any]:
    return {
        "level": "info",
        "ts": moment.timestamp() + random.randrange(10**6) / 10**6,
        "logger": "http.log.access.log0",
        "msg": "handled request",
        "request": {
            "remote_ip": f"192.0.2.{random.randrange(256)}",
            "remote_port": str(random.randrange(1024, 65536)),
            "client_ip": "192.0.2.1",
            "proto": "HTTP/2.0",
            "method": method,
            "host": host,
            "uri": f"/assets/{random.getrandbits(64):016x}.js?v={random.randrange(1000)}",
            "headers": {
                "User-Agent": [_AGENT],
                "Accept": ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
                "Accept-Encoding": ["gzip, deflate, br, zstd"],
                "Accept-Language": ["en-US,en;q=0.5"],
                "Referer": [f"https://{host}/"],
                "Cookie": ["REDACTED"],
            },
            "tls": {"resumed": False, "version": 772, "cipher_suite": 4865, "proto": "h2", "server_name": host},
        },
        "bytes_read": 0,
        "user_id": "",
        "duration": random.random() / 10,
        "size": random.randrange(200_000),
        "status": 200,
        "resp_headers": {
            "Server": ["Caddy"],
            "Content-Type": ["text/html; charset=utf-8"],
            "Alt-Svc": ['h3=":443"; ma=2592000'],
            "Vary": ["Accept-Encoding"],
        },
    }


def _nginx(host: str, moment: datetime, method: str, random: Random) -> dict[str, Any]:
    return {
        "time_iso8601": f"{moment:%Y-%m-%dT%H:%M:%S}+00:00",
        "remote_addr": f"192.0.2.{random.randrange(256)}",
        "host": host,
        "request_method": method,
        "request_uri": f"/assets/{random.getrandbits(64):016x}.js?v={random.randrange(1000)}",
        "status": "200",
        "body_bytes_sent": str(random.randrange(200_000)),
        "request_time": f"{random.random() / 10:.3f}",
        "http_referer": f"https://{host}/",
        "http_user_agent": _AGENT,
    }


FORMATS: dict[str, Callable[[str, datetime, str, Random], dict[str, Any]]] = {
    "Traefik": _traefik,
    "Caddy": _caddy,
    "nginx": _nginx,
}


def build_lines(name: str, number: int) -> tuple[bytes, int]:
    """Return lines of a format, and how many of them are counted."""
    random = Random(1)  # noqa: S311 # the same lines in every run
    end = datetime.now(UTC)
    methods = [random.choice(_METHODS) for _ in range(number)]

    def build() -> Iterator[bytes]:
        for method in methods:
            # A few hosts have most of the requests.
            host = f"project-{int(HOSTS * random.random() ** 2)}.example.com"
            moment = end - timedelta(seconds=random.random() * _HOURS * 3600)
            line = FORMATS[name](host, moment, method, random)
            yield json.dumps(line, separators=(",", ":")).encode() + b"\n"

    return b"".join(build()), number - methods.count("HEAD")
