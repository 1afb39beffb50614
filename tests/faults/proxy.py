"""A proxy between the client and its server that can damage replies."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable

HEADER = 16  # bytes: length, request, response to, opcode
_OP_MSG = 2013
_NAME = HEADER + 4 + 1 + 4 + 1  # after flags, kind of section, length of document and type of value


class Line:
    """The connection to a client that waits for a reply."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self._client = client

    async def send(self, content: bytes) -> None:
        self._client.write(content)
        await self._client.drain()

    def end(self) -> None:
        """Close the connection normally."""
        self._client.close()

    def reset(self) -> None:
        """Reset the connection, as a restarted machine does."""
        self._client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._client.transport.abort()


Fault = Callable[[bytes, Line], Awaitable[None]]


class Proxy:
    """A proxy that forwards messages between clients and a server, through a fault if one is set."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._fault: Fault | None = None
        self._commands: tuple[str, ...] = ()
        self._left = 0.0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.port = 0
        self._run(self._listen())
        self.uri = f"mongodb://127.0.0.1:{self.port}"
        #: The number of damaged replies.
        self.damaged = 0

    def damage(
        self, fault: Fault, *, commands: tuple[str, ...] = ("find", "getMore"), times: float = float("inf")
    ) -> None:
        """Pass the next replies to the given commands through a fault."""
        self._fault, self._commands, self._left, self.damaged = fault, commands, times, 0

    def mend(self) -> None:
        """Remove every fault."""
        self._fault = None
        self._loop.call_soon_threadsafe(self._open.set)
        self._run(self._listen())

    def swallow(self) -> None:
        """Hold back every byte until ``mend``."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def refuse(self) -> None:
        """Close every connection and accept no new one."""
        self._run(self.refuse_now())

    def close(self) -> None:
        self._run(self.refuse_now())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Awaitable[None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)  # type: ignore[arg-type]

    async def _listen(self) -> None:
        if self.port and self._listener.is_serving():
            return
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def refuse_now(self) -> None:
        """Refuse connections from inside a fault."""
        self._listener.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0.05)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
            self._writers |= {writer, server_writer}
            requests: set[int] = set()
            ways = [
                asyncio.ensure_future(self._there(reader, server_writer, requests)),
                asyncio.ensure_future(self._back(server_reader, writer, requests)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            server_writer.close()
            self._writers -= {writer, server_writer}
        writer.close()

    async def _message(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readexactly(HEADER)
        body = await reader.readexactly(int.from_bytes(head[:4], "little") - HEADER)
        await self._open.wait()
        return head + body

    async def _there(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, requests: set[int]) -> None:
        while True:
            message = await self._message(reader)
            _, request, _, opcode = struct.unpack("<iiii", message[:HEADER])
            if opcode == _OP_MSG and message[_NAME : message.index(b"\0", _NAME)].decode() in self._commands:
                requests.add(request)
            server.write(message)
            await server.drain()

    async def _back(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, requests: set[int]) -> None:
        while True:
            message = await self._message(reader)
            (answered,) = struct.unpack("<i", message[8:12])
            if answered in requests and self._fault is not None and self._left > 0:
                self._left -= 1
                self.damaged += 1
                await self._fault(message, Line(client))
            else:
                client.write(message)
                await client.drain()
            requests.discard(answered)
