"""A TCP proxy between clients and one server that delays, goes silent, cuts, half-closes, or answers for the server."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.servers import free_port

CHUNK = 65_536
# Closing with this sends a reset instead of a good end.
RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Listens on `port` while entered. What it does to connections may be changed at any time, from any thread."""

    def __init__(self, target: int) -> None:
        self.target, self.port = target, free_port()
        # Seconds that each chunk waits on its way.
        self.delay = 0.0
        # Said to each newcomer instead of letting the server answer.
        self.answer: bytes | None = None
        # Connections are opened and then ended at once.
        self.is_cut = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._flowing = asyncio.Event()
        self._clients: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def stall(self) -> None:
        """Let nothing through in either direction, and say nothing: as when the net is gone."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def reset(self) -> None:
        """End all connections in the middle of whatever they carry."""
        self._each_client(_reset)

    def half_close(self) -> None:
        """Close the way to the clients; what they say still arrives."""
        self._each_client(lambda writer: writer.write_eof())

    def heal(self) -> None:
        """Behave again. Connections that were stalled go on."""
        self.delay, self.answer, self.is_cut = 0.0, None, False
        self._loop.call_soon_threadsafe(self._flowing.set)

    def _each_client(self, act: Callable[[asyncio.StreamWriter], None]) -> None:
        async def run() -> None:
            for writer in list(self._clients):
                with suppress(OSError, RuntimeError):
                    act(writer)

        self._call(run())

    async def _open(self) -> None:
        self._flowing.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            _reset(writer)
            return
        if self.answer is not None:
            await self._refuse(reader, writer, self.answer)
            return
        try:
            there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            _reset(writer)
            return
        self._clients.add(writer)
        try:
            await asyncio.gather(self._pump(reader, there[1]), self._pump(there[0], writer))
        finally:
            self._clients.discard(writer)
            for each in (writer, there[1]):
                each.close()

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes) -> None:
        with suppress(OSError):
            while await reader.read(CHUNK):
                writer.write(answer)
                await writer.drain()
        writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._flowing.wait()
                writer.write(chunk)
                await writer.drain()
        with suppress(OSError, RuntimeError):
            writer.write_eof()

    def _call(self, coroutine: object) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)  # type: ignore[arg-type]


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    with suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
