"""Host names as they are compared: without a port, in lower case, and internationalised names in Unicode."""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from typing import Final

_ACE_PREFIX: Final = "xn--"
_MAX_LENGTH: Final = 255  # characters
_NO_LABEL: Final = re.compile(r"[\s.:]")
_DOTS: Final = str.maketrans("\u3002\uff0e\uff61", "...")  # RFC 3490, section 3.1


def normalize_host(text: str) -> str | None:
    """Return the form in which two spellings of a host are equal, or ``None`` if the text is not a host.

    A port and the dot at the end are dropped. IPv6 addresses may have brackets.
    """
    text = text.strip()
    if text.startswith("["):  # an IPv6 address, RFC 3986, section 3.2.2
        text, bracket, port = text[1:].partition("]")
        if not bracket or ":" not in text or not _is_port(port):
            return None
    elif text.count(":") == 1:
        text, colon, port = text.partition(":")
        if not _is_port(colon + port):
            return None
    if not 0 < len(text) <= _MAX_LENGTH:
        return None
    if ":" in text:
        with suppress(ValueError):
            return str(IPv6Address(text))
        return None
    labels = [_normalize_label(label) for label in text.translate(_DOTS).removesuffix(".").split(".")]
    return ".".join(labels) if all(map(_is_label, labels)) else None


def list_spellings(host: str) -> Iterator[str]:
    """Yield how a host may be stored, except for the case of letters.

    :param host: a host that :func:`normalize_host` returned.
    """
    with suppress(ValueError):
        address = ip_address(host)
        for text in dict.fromkeys((str(address), address.exploded)):
            yield text
            if isinstance(address, IPv6Address):
                yield f"[{text}]"
        return
    encoded = ".".join(_encode_label(label) for label in host.split("."))
    for text in dict.fromkeys((host, unicodedata.normalize("NFD", host), encoded)):
        yield text
        yield f"{text}."


def _is_port(text: str) -> bool:
    return not text or (text[0] == ":" and text[1:].isascii() and (text[1:].isdigit() or text == ":"))


def _normalize_label(label: str) -> str:
    label = _fold(label)
    if label.startswith(_ACE_PREFIX):
        with suppress(ValueError):  # including UnicodeError
            decoded = label[len(_ACE_PREFIX) :].encode("ascii").decode("punycode")
            decoded.encode()  # an error for a surrogate, which no command to the database can contain
            # Otherwise two names that browsers tell apart would be equal.
            if not decoded.isascii() and _fold(decoded) == decoded and _is_label(decoded):
                return decoded
    return label


def _fold(label: str) -> str:
    """Return a label in lower case and without compatibility characters, as RFC 5895 maps them."""
    return (
        label.lower()
        if label.isascii()
        else unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).lower())
    )


def _is_label(label: str) -> bool:
    return _NO_LABEL.search(label) is None and label != ""


def _encode_label(label: str) -> str:
    return label if label.isascii() else _ACE_PREFIX + label.encode("punycode").decode("ascii")
