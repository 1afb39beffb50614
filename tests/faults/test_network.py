"""A network that loses, spoils and delays, between the client and its server."""

import asyncio
import random
import struct
import threading

import pytest
from faults.application import TIMEOUT
from faults.proxy import HEADER


def injects(what, promise):
    return pytest.mark.injects("Network", what, promise)


@injects("every connection is cut, and new ones are refused", "the error, then whole answers")
def test_unreachable(trial, proxy):
    """A server that cannot be reached costs answers only until it can."""
    host = trial.host(proxy.uri)
    trial.healthy(host)
    proxy.refuse()
    trial.failing(host)
    trial.failing(host)
    proxy.mend()
    trial.healthy(host)


@pytest.mark.parametrize("connected", [True, False])
@injects("no byte arrives any more, and no connection is closed", "the error, then whole answers")
def test_black_hole(trial, proxy, connected):
    """A network that swallows everything is the error in time, for old connections and new ones."""
    host = trial.host(proxy.uri)
    if connected:
        trial.healthy(host)
    proxy.swallow()
    trial.failing(host)
    trial.failing(host)
    proxy.mend()
    trial.healthy(host)


@injects("no byte arrives any more from the second batch on", "the error, then whole answers")
def test_black_hole_between_batches(trial, proxy):
    """A network that falls silent half way is the error in time, giving the cursor up included."""

    async def swallow(reply, line):
        proxy.swallow()

    host = trial.host(proxy.uri)
    trial.healthy(host)
    proxy.spoil(swallow, commands=("getMore",))
    trial.failing(host)
    proxy.mend()
    trial.healthy(host)


@injects("every connection is cut and new ones are refused from the second batch on", "the error, then whole answers")
def test_unreachable_between_batches(trial, proxy):
    """A server that cannot be reached any more half way is the error in time, giving the cursor up included."""

    async def refuse(reply, line):
        await proxy.refuse_now()

    host = trial.host(proxy.uri)
    trial.healthy(host)
    proxy.spoil(refuse, commands=("getMore",))
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


async def head_alone(reply, line):
    await line.send(reply[:HEADER])
    line.end()


async def nothing(reply, line):
    """Say nothing at all."""


def noise(count):
    return random.Random(count).randbytes(count)  # noqa: S311 # the same every time


async def garbage(reply, line):
    await line.send(noise(len(reply)))


async def garbage_behind_the_head(reply, line):
    await line.send(reply[:HEADER] + noise(len(reply) - HEADER))


async def web_page(reply, line):
    await line.send(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" * 3)


async def another_answer(reply, line):
    await line.send(reply[:8] + struct.pack("<i", 1) + reply[12:])


BROKEN = [reset, end, half, half_then_reset, head_alone, garbage, garbage_behind_the_head, web_page, another_answer]
SILENT = [nothing, half_then_nothing]


@pytest.mark.parametrize("commands", [("find", "getMore"), ("getMore",)], ids=["query", "between batches"])
@pytest.mark.parametrize("fault", BROKEN + SILENT, ids=lambda fault: fault.__name__)
@injects(
    "every reply is cut off, halved, withheld, or replaced by garbage, a web page or another's answer",
    "the error, then whole answers",
)
def test_spoilt_replies(trial, proxy, fault, commands):
    """Replies that are spoilt again and again are the error, also where the first batch came through."""
    host = trial.host(proxy.uri)
    trial.healthy(host)
    proxy.spoil(fault, commands=commands)
    trial.failing(host)
    assert proxy.spoilt
    proxy.mend()
    trial.healthy(host)


@pytest.mark.parametrize("fault", [reset, end, half, half_then_reset, head_alone], ids=lambda fault: fault.__name__)
@injects("one reply is cut off or halved", "whole answers: the driver asks again")
def test_one_reply_lost(trial, proxy, fault):
    """A connection that breaks once under the query costs no answer."""
    host = trial.host(proxy.uri, owner="bob")
    trial.healthy(host)
    proxy.spoil(fault, times=1)
    trial.serving(host)
    assert proxy.spoilt == 1
    trial.healthy(host)


@pytest.mark.parametrize("fault", BROKEN + SILENT, ids=lambda fault: fault.__name__)
@injects("one reply is spoilt in any of these ways, then none", "whole or the error, then whole answers")
def test_one_reply_spoilt(trial, proxy, fault):
    """A single spoilt reply never spoils the request after it."""
    host = trial.host(proxy.uri)
    trial.healthy(host)
    proxy.spoil(fault, times=1)
    trial.either(host)
    trial.healthy(host)


@injects("replies arrive one byte at a time, too slowly to end in time", "the error, then whole answers")
def test_byte_by_byte(trial, proxy):
    """Bytes that keep coming do not keep a request alive beyond its time."""

    async def drip(reply, line):
        for index in range(len(reply)):
            await line.send(reply[index : index + 1])
            await asyncio.sleep(0.02)

    host = trial.host(proxy.uri)
    trial.healthy(host)
    proxy.spoil(drip)
    trial.failing(host)
    proxy.mend()
    trial.healthy(host)


@injects("replies arrive one byte at a time, but in time", "whole answers")
def test_byte_by_byte_in_time(trial, proxy):
    """How a reply is cut into packets makes no difference."""

    async def drip(reply, line):
        for index in range(len(reply)):
            await line.send(reply[index : index + 1])
            await asyncio.sleep(0)

    host = trial.host(proxy.uri, owner="bob")
    trial.healthy(host)
    proxy.spoil(drip)
    trial.serving(host)


LENGTHS = [-(2**31), -1, 0, 1, 15, 16, 20, 2**31 - 1]


@pytest.mark.parametrize("once", [True, False], ids=["once", "always"])
@pytest.mark.parametrize("length", [*LENGTHS, "one less", "one more", "many more"])
@injects("the length in the head of a reply is wrong", "whole or the error, then whole answers")
def test_wrong_length(trial, proxy, length, once):
    """A reply that is longer or shorter than it says is never taken for a whole one."""

    async def lie(reply, line):
        said = {"one less": len(reply) - 1, "one more": len(reply) + 1, "many more": 2 * len(reply)}.get(length, length)
        await line.send(struct.pack("<i", said) + reply[4:])

    host = trial.host(proxy.uri)
    trial.healthy(host)
    proxy.spoil(lie, times=1 if once else float("inf"))
    trial.either(host)
    assert proxy.spoilt
    proxy.mend()
    trial.healthy(host)


def structure(reply):
    """Find the bytes of a reply that say how it is to be read: all but names and values."""
    places = [*range(4), *range(8, HEADER + 4 + 1)]  # the request's own number is nobody's business
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
@injects(
    "in turn, each byte of a reply that is opcode, length, flag, type or end mark is flipped", "whole or the error"
)
def test_flipped_structure(trial, proxy, once, bits):
    """A reply whose structure is damaged anywhere is never taken for a whole one."""
    host = trial.host(proxy.uri, owner="bob")
    replies = []

    async def listen(reply, line):
        replies.append(reply)
        await line.send(reply)

    proxy.spoil(listen)
    trial.healthy(host)
    for place in structure(replies[0]):
        if bits != 0xFF and _is_type(replies[0], place):
            continue  # another type of the same size is a flip inside the value: it cannot be seen

        async def flip(reply, line, place=place):
            place = min(place, len(reply) - 1)
            await line.send(reply[:place] + bytes([reply[place] ^ bits]) + reply[place + 1 :])

        proxy.spoil(flip, times=1 if once else float("inf"))
        trial.either(host)
        proxy.mend()
        trial.healthy(host)


def _is_type(reply, place):
    return place > HEADER + 8 and reply[place] != 0 and chr(reply[place + 1]).isprintable()


@pytest.mark.parametrize("name", ["nowhere.invalid", "nowhere.example", "a" * 63 + ".invalid"])
@injects("the server's name is unknown", "the error")
def test_unknown_name(trial, name):
    """A name that nobody knows is the error, in time."""
    trial.failing(trial.host(f"mongodb://{name}:27017"))


@injects("the network falls silent under 16 threads", "the error, then whole answers")
def test_black_hole_under_threads(trial, proxy):
    """Many requests that wait at once end in time, each of them."""
    host = trial.host(proxy.uri, owner="bob")
    trial.healthy(host)
    proxy.swallow()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(host.get())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT + 10)
    assert len(answers) == 16
    for answer in answers:
        trial.judge(host, answer, {500})
    proxy.mend()
    trial.healthy(host)
