"""A TCP proxy on loopback that does to connections what networks and dying servers do."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType

from qmig.embedded.child_process import free_port

PIECE = 64 * 1024
LINGER_NOT = struct.pack("ii", 1, 0)
HOST = "127.0.0.1"


class _Connection:
    """One client's connection and the one to the server behind it."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.writers = writers
        self.passes = asyncio.Event()
        self.passes.set()

    def close(self) -> None:
        for writer in self.writers:
            writer.close()

    def reset(self) -> None:
        """End both connections with RST: bytes that were sent and not read yet are lost."""
        for writer in self.writers:
            if writer.is_closing():
                continue
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
            writer.transport.abort()


class Proxy:
    """Passes connections on to `port`, and its faults are switched on and off while they run.

    It listens on a port of its own that stays the same for its whole life. Every method may be called from any
    thread, and its fault is there when it returns.
    """

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self._behind = port
        self._delay = 0.0
        self._rate: float | None = None
        self._passing = True
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # The faults

    def delay(self, seconds: float) -> None:
        """Every piece of data arrives so much later."""
        self._delay = seconds

    def throttle(self, bytes_a_second: float) -> None:
        """Each connection carries only so much, in each direction."""
        self._rate = bytes_a_second

    def cut(self) -> None:
        """Let nothing through and close nothing, like a network that drops every packet."""

        def now() -> None:
            self._passing = False
            for connection in self._connections:
                connection.passes.clear()

        self._do(now)

    def forget(self) -> None:
        """The connections that there are stay open and carry nothing any more, new ones work: a firewall that was
        started again."""

        def now() -> None:
            for connection in self._connections:
                connection.passes.clear()
            self._connections.clear()

        self._do(now)

    def reset(self) -> None:
        """Reset every connection that there is; new ones work."""

        def now() -> None:
            for connection in self._connections:
                connection.reset()

        self._do(now)

    def refuse(self) -> None:
        """Reset every connection, and refuse new ones."""

        async def now() -> None:
            if self._listening is not None:
                self._listening.close()
                self._listening = None
            for connection in self._connections:
                connection.reset()

        asyncio.run_coroutine_threadsafe(now(), self._loop).result()

    def restore(self) -> None:
        """No fault any more; what `cut` held back arrives."""

        async def now() -> None:
            self._delay, self._rate, self._passing = 0.0, None, True
            for connection in self._connections:
                connection.passes.set()
            if self._listening is None:
                await self._listen()

        asyncio.run_coroutine_threadsafe(now(), self._loop).result()

    # The connections

    async def _listen(self) -> None:
        self._listening = await asyncio.start_server(self._accept, HOST, self.port)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(HOST, self._behind)
        except OSError:
            # Nothing listens behind it: to the client this is a server that closes at once.
            _Connection(writer).reset()
            return
        connection = _Connection(writer, there_writer)
        if not self._passing:
            connection.passes.clear()
        self._connections.add(connection)
        for source, drain in ((reader, there_writer), (there_reader, writer)):
            task = self._loop.create_task(self._pass_on(connection, source, drain))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await reader.read(PIECE):
                await asyncio.sleep(self._delay)
                if self._rate is not None:
                    await asyncio.sleep(len(data) / self._rate)
                await connection.passes.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            # Either side's end of it was reset.
            connection.reset()
        else:
            await connection.passes.wait()
            connection.close()
        finally:
            self._connections.discard(connection)

    async def _end(self) -> None:
        if self._listening is not None:
            self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self._connections:
            connection.close()

    def _do(self, change: Callable[[], None]) -> None:
        async def now() -> None:
            change()

        asyncio.run_coroutine_threadsafe(now(), self._loop).result()
