"""Where the bodies of `async def` jobs run."""

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async

from django_jobs import clock
from django_jobs.definitions.outcomes import Claim, Ended, GivenBack, Outcome
from django_jobs.execution.batches import aexecute_together
from django_jobs.worker.board import Board
from django_jobs.worker.connections import care_for_connections, close_connections
from django_jobs.worker.slots import Done, Holds, Together, begin, slots_of, withdraw


class LoopPool:
    """One event loop in a thread; a number of slots, each with a thread of its own for the sync parts of Django.

    Without that, one job's slow query would hold up the queries of all others (asgiref shares one thread).
    """

    def __init__(self, size: int, board: Board, kind: int, done: Done, holds: Holds) -> None:
        self.last_start = 0.0
        self._size, self._board, self._done, self._holds = size, board, done, holds
        self._free_slots = slots_of(board, kind)
        self._loop: asyncio.AbstractEventLoop | None = None
        # Other threads withdraw claims, even while a body holds up the loop; a ticket says that there may be one.
        self._waiting: deque[Together] = deque()
        self._tickets: asyncio.Queue[None] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._bodies: set[asyncio.Task[list[Outcome]]] = set()
        self._thread: threading.Thread | None = None

    def put(self, bodies: Sequence[Together]) -> None:
        """Queue bodies; each starts as soon as there is a place."""
        loop = self._loop or self._start()
        if not self._waiting:
            self.last_start = clock.monotonic()
        self._waiting += bodies
        # Once for all: each call wakes the loop by a byte in a pipe.
        loop.call_soon_threadsafe(self._hand_out, len(bodies))

    def withdraw(self) -> list[Claim]:
        """Return the claims of all bodies that have not begun; they will not begin here."""
        return withdraw(self._waiting)

    def resize(self, size: int) -> None:
        self._size = size
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._fit)

    def cancel(self) -> None:
        """Cancel the bodies that run."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._bodies])

    def stop(self) -> None:
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._tasks])
        self._thread.join(5)

    def _start(self) -> asyncio.AbstractEventLoop:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="django_jobs loop", daemon=True)
        self._thread.start()
        ready.wait()
        assert self._loop is not None
        return self._loop

    def _run(self, ready: threading.Event) -> None:
        asyncio.run(self._main(ready))

    async def _main(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._fit()
        ready.set()
        while self._tasks:  # some may come while these are waited for
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _fit(self) -> None:
        """Have as many slots as there shall be; one too many ends after what it runs."""
        while len(self._tasks) < self._size:
            task = asyncio.create_task(self._slot(heappop(self._free_slots)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._hand_out(len(self._tasks) - self._size)

    def _hand_out(self, count: int) -> None:
        for _ in range(count):
            self._tickets.put_nowait(None)

    def _leaves(self, slot: int, task: asyncio.Task[None]) -> bool:
        is_one_too_many = len(self._tasks) > self._size
        if is_one_too_many:
            self._tasks.discard(task)
            heappush(self._free_slots, slot)
        return is_one_too_many

    async def _slot(self, slot: int) -> None:
        me = asyncio.current_task()
        assert me is not None
        async with ThreadSensitiveContext() as context:
            try:
                # A body under way takes the cancel for itself and ends well; the slot shall end all the same.
                while not me.cancelling() and not self._leaves(slot, me):
                    await self._tickets.get()
                    try:
                        claims = self._waiting.popleft()
                    except IndexError:
                        continue  # it was withdrawn, or there are too many slots
                    await self._run_one(slot, claims)
                    if _has_thread(context):
                        await sync_to_async(care_for_connections)()
            finally:
                if _has_thread(context):
                    # Inside the context: its thread dies with it, and would leave the connections open.
                    await sync_to_async(close_connections)()

    async def _run_one(self, slot: int, claims: Together) -> None:
        self.last_start = started = clock.monotonic()
        begin(self._board, slot, claims)
        outcomes: list[Outcome] = [GivenBack() for _ in claims]
        if self._holds(claims[0]):
            body = asyncio.create_task(aexecute_together(claims), context=contextvars.copy_context())
            self._bodies.add(body)
            try:
                outcomes = await body
            finally:
                self._bodies.discard(body)
        finished = clock.monotonic()
        self._board.end(slot)
        for claim, outcome in zip(claims, outcomes, strict=True):
            self._done(Ended(claim, outcome, started, finished))


def _has_thread(context: ThreadSensitiveContext) -> bool:
    """Tell whether anything ran in the context's thread: a job without sync parts pays no hop to it."""
    return context in SyncToAsync.context_to_thread_executor
