"""A network that loses, damages and delays messages."""

import asyncio
import random
import struct

import pytest
from faults.application import get_in_threads
from faults.proxy import HEADER

GROUP = "Network"


@pytest.mark.injects("every connection is closed, and new ones are refused", "the error, then complete responses")
def test_unreachable(trial, proxy):
    """Requests fail only while the server is unreachable."""
    host = trial.host(proxy.uri)
    trial.healthy(host)
    proxy.refuse()
    trial.failing(host)
    trial.failing(host)
    proxy.mend()
    trial.healthy(host)


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.injects("no byte arrives, and no connection is closed", "the error, then complete responses")
def test_black_hole(trial, proxy, connected):
    """A network that drops everything results in the error response within the time limit, for old and new connections."""
    host = trial.host(proxy.uri)
    if connected:
        trial.healthy(host)
    proxy.swallow()
    trial.failing(host)
    trial.failing(host)
    proxy.mend()
    trial.healthy(host)


@pytest.mark.injects("no byte arrives from the second batch on", "the error, then complete responses")
def test_black_hole_between_batches(trial, proxy):
    """A network that drops everything halfway results in the error response within the time limit, including the closing of the cursor."""

    async def swallow(reply, line):
        proxy.swallow()

    host = trial.host(proxy.uri)
    trial.healthy(host)
    proxy.damage(swallow, commands=("getMore",))
    trial.failing(host)
    proxy.mend()
    trial.healthy(host)


@pytest.mark.injects(
    "every connection is closed and new ones are refused from the second batch on", "the error, then complete responses"
)
def test_unreachable_between_batches(trial, proxy):
    """A server that becomes unreachable halfway results in the error response within the time limit, including the closing of the cursor."""

    async def refuse(reply, line):
        await proxy.refuse_now()

    host = trial.host(proxy.uri)
    trial.healthy(host)
    proxy.damage(refuse, commands=("getMore",))
    trial.failing(host)
    proxy.mend()
    trial.healthy(host)


async def reset(reply, line):
    line.reset()


async def end(reply, line):
    line.end()


async def half(reply, line):
    await line.send(reply[: len(reply) // 2])
    line.end()


async def half_then_nothing(reply, line):
    await line.send(reply[: len(reply) // 2])


async def half_then_reset(reply, line):
    await line.send(reply[: len(reply) // 2])
    await asyncio.sleep(0.05)
    line.reset()


async def header_only(reply, line):
    await line.send(reply[:HEADER])
    line.end()


async def nothing(reply, line):
    """Send nothing."""


def noise(count):
    return random.Random(count).randbytes(count)  # noqa: S311 # the same bytes in every run


async def garbage(reply, line):
    await line.send(noise(len(reply)))


async def header_then_garbage(reply, line):
    await line.send(reply[:HEADER] + noise(len(reply) - HEADER))


async def web_page(reply, line):
    await line.send(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" * 3)


async def reply_to_another(reply, line):
    await line.send(reply[:8] + struct.pack("<i", 1) + reply[12:])


BROKEN = [reset, end, half, half_then_reset, header_only, garbage, header_then_garbage, web_page, reply_to_another]
SILENT = [nothing, half_then_nothing]


@pytest.mark.parametrize("commands", [("find", "getMore"), ("getMore",)], ids=["query", "between batches"])
@pytest.mark.parametrize("fault", BROKEN + SILENT, ids=lambda fault: fault.__name__)
@pytest.mark.injects(
    "every reply is lost, truncated, or replaced by garbage, a web page or the reply to another request",
    "the error, then complete responses",
)
def test_damaged_replies(trial, proxy, fault, commands):
    """If every reply is damaged the response is the error, even after the first batch."""
    host = trial.host(proxy.uri)
    trial.healthy(host)
    proxy.damage(fault, commands=commands)
    trial.failing(host)
    assert proxy.damaged
    proxy.mend()
    trial.healthy(host)


@pytest.mark.parametrize("fault", [reset, end, half, half_then_reset, header_only], ids=lambda fault: fault.__name__)
@pytest.mark.injects("one reply is lost or truncated", "complete responses: the driver retries")
def test_one_reply_lost(trial, proxy, fault):
    """A connection that breaks once during the query is replaced."""
    host = trial.host(proxy.uri, owner="bob")
    trial.healthy(host)
    proxy.damage(fault, times=1)
    trial.serving(host)
    assert proxy.damaged == 1
    trial.healthy(host)


@pytest.mark.parametrize("fault", BROKEN + SILENT, ids=lambda fault: fault.__name__)
@pytest.mark.injects(
    "one reply is damaged in any of these ways, then none", "complete or the error, then complete responses"
)
def test_one_reply_damaged(trial, proxy, fault):
    """A single damaged reply never affects the next request."""
    host = trial.host(proxy.uri)
    trial.healthy(host)
    proxy.damage(fault, times=1)
    trial.either(host)
    trial.healthy(host)


@pytest.mark.injects(
    "replies arrive one byte at a time, too slowly for the timeout", "the error, then complete responses"
)
def test_byte_by_byte(trial, proxy):
    """A slow but steady reply does not extend the timeout."""

    async def drip(reply, line):
        for index in range(len(reply)):
            await line.send(reply[index : index + 1])
            await asyncio.sleep(0.02)

    host = trial.host(proxy.uri)
    trial.healthy(host)
    proxy.damage(drip)
    trial.failing(host)
    proxy.mend()
    trial.healthy(host)


@pytest.mark.injects("replies arrive one byte at a time, fast enough for the timeout", "complete responses")
def test_byte_by_byte_in_time(trial, proxy):
    """A reply in many small packets is accepted if it arrives within the time limit."""

    async def drip(reply, line):
        for index in range(len(reply)):
            await line.send(reply[index : index + 1])
            await asyncio.sleep(0)

    host = trial.host(proxy.uri, owner="bob")
    trial.healthy(host)
    proxy.damage(drip)
    trial.serving(host)


LENGTHS = [-(2**31), -1, 0, 1, 15, 16, 20, 2**31 - 1]


@pytest.mark.parametrize("once", [True, False], ids=["once", "always"])
@pytest.mark.parametrize("length", [*LENGTHS, "one less", "one more", "many more"])
@pytest.mark.injects("the length in the header of a reply is wrong", "complete or the error, then complete responses")
def test_wrong_length(trial, proxy, length, once):
    """A reply with a wrong length is never accepted as complete."""

    async def lie(reply, line):
        said = {"one less": len(reply) - 1, "one more": len(reply) + 1, "many more": 2 * len(reply)}.get(length, length)
        await line.send(struct.pack("<i", said) + reply[4:])

    host = trial.host(proxy.uri)
    trial.healthy(host)
    proxy.damage(lie, times=1 if once else float("inf"))
    trial.either(host)
    assert proxy.damaged
    proxy.mend()
    trial.healthy(host)


def structure(reply):
    """Return the positions of the structural bytes of a reply: all except names and values."""
    places = [*range(4), *range(8, HEADER + 4 + 1)]  # nothing depends on the request id
    return places + list(_structure_of(reply, HEADER + 4 + 1))


def _structure_of(reply, start):
    yield from range(start, start + 4)
    place, end_ = start + 4, start + struct.unpack_from("<i", reply, start)[0] - 1
    while place < end_:
        kind = reply[place]
        yield place
        place = reply.index(b"\0", place) + 1
        yield place - 1
        if kind in {3, 4}:
            yield from _structure_of(reply, place)
            place += struct.unpack_from("<i", reply, place)[0]
        elif kind == 2:
            yield from range(place, place + 4)
            place += 4 + struct.unpack_from("<i", reply, place)[0]
            yield place - 1
        elif kind == 5:
            yield from range(place, place + 4)
            place += 5 + struct.unpack_from("<i", reply, place)[0]
        else:
            place += {1: 8, 7: 12, 8: 1, 9: 8, 16: 4, 17: 8, 18: 8}[kind]
    yield end_


@pytest.mark.parametrize("once", [True, False], ids=["once", "always"])
@pytest.mark.parametrize("bits", [0xFF, 0x80, 0x01], ids=hex)
@pytest.mark.injects(
    "each opcode, length, flag, type and end byte of a reply is flipped in turn", "complete or the error"
)
def test_flipped_structure(trial, proxy, once, bits):
    """A reply with a damaged structure is never accepted as complete."""
    host = trial.host(proxy.uri, owner="bob")
    replies = []

    async def listen(reply, line):
        replies.append(reply)
        await line.send(reply)

    proxy.damage(listen)
    trial.healthy(host)
    for place in structure(replies[0]):
        if bits != 0xFF and _is_type(replies[0], place):
            continue  # another type of the same size cannot be detected, like a flipped bit in a value

        async def flip(reply, line, place=place):
            place = min(place, len(reply) - 1)
            await line.send(reply[:place] + bytes([reply[place] ^ bits]) + reply[place + 1 :])

        proxy.damage(flip, times=1 if once else float("inf"))
        trial.either(host)
        proxy.mend()
        trial.healthy(host)


def _is_type(reply, place):
    return place > HEADER + 8 and reply[place] != 0 and chr(reply[place + 1]).isprintable()


@pytest.mark.parametrize("name", ["nowhere.invalid", "nowhere.example", "a" * 63 + ".invalid"])
@pytest.mark.injects("the server's host name is unknown", "the error")
def test_unknown_name(trial, name):
    """An unknown host name results in the error response within the time limit."""
    trial.failing(trial.host(f"mongodb://{name}:27017"))


@pytest.mark.injects("no byte arrives while 16 threads send requests", "the error, then complete responses")
def test_black_hole_under_threads(trial, proxy):
    """Each of many waiting requests ends within the time limit."""
    host = trial.host(proxy.uri, owner="bob")
    trial.healthy(host)
    proxy.swallow()
    for result in get_in_threads(host):
        trial.check(host, result, {500})
    proxy.mend()
    trial.healthy(host)
