"""Where the bodies of `async def` jobs run."""

import asyncio
import contextvars
import sys
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async

from django_jobs import clock
from django_jobs.definitions.outcomes import Claim, Ended, GivenBack, Outcome
from django_jobs.execution.batches import aexecute_together
from django_jobs.worker.board import Board
from django_jobs.worker.connections import care_for_connections, close_connections
from django_jobs.worker.slots import Done, Holds, Together, begin, slots_of, withdraw

# So many bodies begin one after the other before the loop looks after those that run.
MOST_AT_ONCE = 100


@dataclass(order=True)
class Slot:
    """A place for one body at a time, which runs in a copy of its context, so that the sync parts have its thread."""

    number: int
    context: contextvars.Context = field(compare=False)
    threads: ThreadSensitiveContext = field(compare=False)
    is_dismissed: asyncio.Event = field(compare=False)

    @property
    def has_thread(self) -> bool:
        """Tell whether anything ran in its thread: a job without sync parts pays no hop to it."""
        return self.threads in SyncToAsync.context_to_thread_executor


class LoopPool:
    """One event loop in a thread; a number of slots, each with a thread of its own for the sync parts of Django.

    Without that, one job's slow query would hold up the queries of all others (asgiref shares one thread). A body is
    one task, and the step that ends it begins the next one: if ended bodies had to wake somebody else for that, all
    that end at the same time would wait for each other.
    """

    def __init__(self, size: int, board: Board, kind: int, done: Done, holds: Holds) -> None:
        self.last_start = 0.0
        self._size, self._board, self._done, self._holds = size, board, done, holds
        self._numbers = slots_of(board, kind)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        # Other threads withdraw claims, even while a body holds up the loop.
        self._waiting: deque[Together] = deque()
        # All else is known to the loop's thread alone. Slots that count, those of them without a body, all that live.
        self._count = 0
        self._free: list[Slot] = []
        self._slots: set[asyncio.Task[None]] = set()
        self._bodies: set[asyncio.Task[None]] = set()
        self._is_filling = False

    def put(self, bodies: Sequence[Together]) -> None:
        """Queue bodies; each starts as soon as there is a place."""
        loop = self._loop or self._start()
        if not self._waiting:
            self.last_start = clock.monotonic()
        self._waiting += bodies
        # Once for all: each call wakes the loop by a byte in a pipe.
        loop.call_soon_threadsafe(self._fill)

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
            self._soon(self._loop, self._cancel)

    def stop(self) -> None:
        """Cancel what runs and end all slots; wait for it, but not for long."""
        if self._loop is None or self._thread is None:
            return
        self._size = 0
        self._soon(self._loop, self._end)
        self._thread.join(5)

    @staticmethod
    def _soon(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
        """Have the loop act in its next round: before Python 3.12 what begins in this one takes its first step then."""
        loop.call_soon_threadsafe(loop.call_soon, act)

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
        while self._slots:  # some may come while these are waited for
            await asyncio.gather(*self._slots, return_exceptions=True)

    def _fit(self) -> None:
        """Have as many slots as there shall be; one too many ends after what it runs."""
        while self._count < self._size:
            self._count += 1
            slot = asyncio.create_task(self._be_slot(heappop(self._numbers)))
            self._slots.add(slot)
            slot.add_done_callback(self._slots.discard)
        while self._count > self._size and self._free:
            last = max(self._free)
            self._free.remove(last)
            heapify(self._free)
            self._dismiss(last)

    async def _be_slot(self, number: int) -> None:
        async with ThreadSensitiveContext() as threads:
            slot = Slot(number, contextvars.copy_context(), threads, asyncio.Event())
            self._free_again(slot)
            await slot.is_dismissed.wait()
            if slot.has_thread:
                # Inside the context: its thread dies with it, and would leave the connections open.
                await sync_to_async(close_connections)()

    def _free_again(self, slot: Slot) -> None:
        if self._count > self._size:
            self._dismiss(slot)
        else:
            heappush(self._free, slot)
            self._fill()

    def _dismiss(self, slot: Slot) -> None:
        self._count -= 1
        heappush(self._numbers, slot.number)
        slot.is_dismissed.set()

    def _fill(self) -> None:
        """Begin bodies as long as some wait and there are places."""
        if self._is_filling:
            return  # a body that ended in its first step has left its place to the loop below
        self._is_filling = True
        try:
            for _ in range(MOST_AT_ONCE):
                if not self._free:
                    return
                try:
                    claims = self._waiting.popleft()
                except IndexError:
                    return
                slot = heappop(self._free)
                _begin(self._run_one(slot, claims), slot.context.copy())
        finally:
            self._is_filling = False
        asyncio.get_running_loop().call_soon(self._fill)

    async def _run_one(self, slot: Slot, claims: Together) -> None:
        try:
            await self._run_body(slot, claims)
            if slot.has_thread:
                await sync_to_async(care_for_connections)()
        finally:
            # Whatever a body has done to its task, such as to cancel it in its last step.
            self._free_again(slot)

    async def _run_body(self, slot: Slot, claims: Together) -> None:
        me = asyncio.current_task()
        assert me is not None
        self.last_start = started = clock.monotonic()
        begin(self._board, slot.number, claims)
        outcomes: list[Outcome] = [GivenBack() for _ in claims]
        if self._holds(claims[0]):
            self._bodies.add(me)
            outcomes = await aexecute_together(claims)
            self._bodies.discard(me)
        finished = clock.monotonic()
        self._board.end(slot.number)
        for claim, outcome in zip(claims, outcomes, strict=True):
            self._done(Ended(claim, outcome, started, finished))

    def _cancel(self) -> None:
        for body in self._bodies:
            body.cancel()

    def _end(self) -> None:
        self._cancel()
        self._fit()


def _begin(body: Coroutine[None, None, None], context: contextvars.Context) -> None:
    """Run a body as a task of its own, the first step at once where Python can.

    Until then the loop holds it, and from then on the pool.
    """
    if sys.version_info >= (3, 12):
        asyncio.Task(body, loop=asyncio.get_running_loop(), context=context, eager_start=True)
    else:
        asyncio.create_task(body, context=context)  # noqa: RUF006
