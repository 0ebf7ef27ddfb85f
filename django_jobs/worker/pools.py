"""Where bodies run: `def` in threads, `async def` on one event loop, others in sandboxes. Each starts when needed."""

import asyncio
import contextvars
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from heapq import heappop, heappush

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async

from django_jobs import clock
from django_jobs.definitions.outcomes import Claim, Ended, GivenBack, Outcome
from django_jobs.definitions.registry import get_spec
from django_jobs.execution.batches import aexecute_together, execute_together
from django_jobs.worker.board import KINDS, Board
from django_jobs.worker.connections import IDLE_SECONDS, care_for_connections, close_connections
from django_jobs.worker.sandbox.pool import IDLE_SECONDS as SANDBOX_IDLE_SECONDS
from django_jobs.worker.sandbox.pool import Sandboxes

Done = Callable[[Ended], None]
# Whether a claim is still the worker's own, asked just before a body begins.
Holds = Callable[[Claim], bool]
# The claims that one body runs for: one, or the members of a batch.
Together = Sequence[Claim]

# How long the end waits for threads that may still run a body.
JOIN_SECONDS = 0.5


class Pools:
    """Runs claims, up to `concurrency` of each kind at once, and hands each outcome to `done`."""

    def __init__(self, concurrency: int, board: Board, done: Done, holds: Holds) -> None:
        self.threads = ThreadPool(concurrency, board, 0, done, holds)
        self.loop = LoopPool(concurrency, board, 1, done, holds)
        self.sandboxes = Sandboxes(board, done, holds)
        self.escorts = ThreadPool(
            concurrency,
            board,
            2,
            done,
            holds,
            run_one=self._escort,
            on_idle=self.sandboxes.retire_idle,
            idle_seconds=SANDBOX_IDLE_SECONDS,
        )
        self._all = (self.threads, self.loop, self.escorts)

    def resize(self, concurrency: int) -> None:
        """Run so many of each kind at once from now on; what runs beyond that may end."""
        for pool in self._all:
            pool.resize(concurrency)

    def start(self, claims: Sequence[Claim]) -> None:
        """Queue claims; each starts as soon as there is a place."""
        for claim in claims:
            self.start_together((claim,))

    def start_together(self, claims: Together) -> None:
        """Queue claims of one body."""
        spec = get_spec(claims[0].name)
        pool = self.escorts if spec.sandbox is not None else self.loop if spec.is_async else self.threads
        pool.put(claims)

    def _escort(self, slot: int, claims: Together) -> None:
        (claim,) = claims
        self.sandboxes.run_one(slot, claim)

    def withdraw(self) -> list[Claim]:
        """Return the claims whose bodies have not begun; they will not begin here."""
        return [claim for pool in self._all for claim in pool.withdraw()]

    def withdraw_if_stuck(self, seconds: float) -> list[Claim]:
        """Return what waits behind bodies that turned out to be slow: nothing has started for so long."""
        return [
            claim for pool in self._all if clock.monotonic() - pool.last_start > seconds for claim in pool.withdraw()
        ]

    def runnable(self, names: list[str]) -> list[str]:
        """Return those of the jobs that can run here now."""
        return self.sandboxes.runnable(names)

    def cut_off(self) -> None:
        """Cancel the coroutines that run and end the bodies in sandboxes; threads cannot be ended."""
        self.loop.cancel()
        self.sandboxes.cut_off()

    def stop(self) -> None:
        """End what is idle; bodies that run are not waited for."""
        for pool in self._all:
            pool.stop()
        self.sandboxes.stop()


class ThreadPool:
    """A number of threads over one queue: no future per job, a hand-over costs less than a microsecond."""

    def __init__(
        self,
        size: int,
        board: Board,
        kind: int,
        done: Done,
        holds: Holds,
        *,
        run_one: Callable[[int, Together], None] | None = None,
        on_idle: Callable[[], None] = close_connections,
        idle_seconds: float | None = None,
    ) -> None:
        self.last_start = 0.0
        self._size, self._board, self._done, self._holds = size, board, done, holds
        self._run_one, self._on_idle, self._idle_seconds = run_one or self._run_here, on_idle, idle_seconds
        # None: look whether you are one too many.
        self._waiting: queue.SimpleQueue[Together | None] = queue.SimpleQueue()
        self._threads: dict[int, threading.Thread] = {}
        self._free_slots = _slots(board, kind)
        self._started = False
        self._lock = threading.Lock()

    def put(self, claims: Together) -> None:
        if not self._started:
            self._started, self.last_start = True, clock.monotonic()
            self.resize(self._size)
        if self._waiting.empty():
            self.last_start = clock.monotonic()
        self._waiting.put(claims)

    def withdraw(self) -> list[Claim]:
        found: list[Claim] = []
        while True:
            try:
                claims = self._waiting.get_nowait()
            except queue.Empty:
                return found
            found += claims or ()

    def resize(self, size: int) -> None:
        with self._lock:
            self._size = size
            while self._started and len(self._threads) < size:
                slot = heappop(self._free_slots)
                name = f"django_jobs {slot // KINDS}"
                self._threads[slot] = threading.Thread(target=self._run, args=(slot,), name=name, daemon=True)
                self._threads[slot].start()
            for _ in range(len(self._threads) - size):
                self._waiting.put(None)

    def stop(self) -> None:
        threads = list(self._threads.values())
        self.resize(0)
        deadline = clock.monotonic() + JOIN_SECONDS
        for thread in threads:
            thread.join(max(deadline - clock.monotonic(), 0.0))

    def _run(self, slot: int) -> None:
        while not self._leaves(slot):
            claims = self._next()
            if claims is not None:
                self.last_start = clock.monotonic()
                self._run_one(slot, claims)
        close_connections()

    def _run_here(self, slot: int, claims: Together) -> None:
        started = clock.monotonic()
        _begin(self._board, slot, claims)
        outcomes: list[Outcome] = [GivenBack() for _ in claims]
        if self._holds(claims[0]):
            # A context of its own, so that what a body sets there is gone with it.
            outcomes = contextvars.copy_context().run(execute_together, claims)
        finished = clock.monotonic()
        self._board.end(slot)
        # What was interrupted may have been in the middle of a command.
        timeout = claims[0].timeout
        care_for_connections(distrust=timeout is not None and finished - started >= timeout)
        for claim, outcome in zip(claims, outcomes, strict=True):
            self._done(Ended(claim, outcome, started, finished))

    def _leaves(self, slot: int) -> bool:
        """Leave if there are more threads than there shall be."""
        if len(self._threads) <= self._size:
            return False
        with self._lock:
            is_one_too_many = len(self._threads) > self._size
            if is_one_too_many:
                del self._threads[slot]
                heappush(self._free_slots, slot)
        return is_one_too_many

    def _next(self) -> Together | None:
        """Wait for a claim; an idle thread does not keep connections that a server would rather have back."""
        try:
            return self._waiting.get(timeout=self._idle_seconds or IDLE_SECONDS)
        except queue.Empty:
            self._on_idle()
            return self._waiting.get()


class LoopPool:
    """One event loop in a thread; a number of slots, each with a thread of its own for the sync parts of Django.

    Without that, one job's slow query would hold up the queries of all others (asgiref shares one thread).
    """

    def __init__(self, size: int, board: Board, kind: int, done: Done, holds: Holds) -> None:
        self.last_start = 0.0
        self._size, self._board, self._done, self._holds = size, board, done, holds
        self._free_slots = _slots(board, kind)
        self._loop: asyncio.AbstractEventLoop | None = None
        # Other threads withdraw claims, even while a body holds up the loop; a ticket says that there may be one.
        self._waiting: deque[Together] = deque()
        self._tickets: asyncio.Queue[None] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._bodies: set[asyncio.Task[list[Outcome]]] = set()
        self._thread: threading.Thread | None = None

    def put(self, claims: Together) -> None:
        loop = self._loop or self._start()
        if not self._waiting:
            self.last_start = clock.monotonic()
        self._waiting.append(claims)
        loop.call_soon_threadsafe(self._tickets.put_nowait, None)

    def withdraw(self) -> list[Claim]:
        found: list[Claim] = []
        with suppress(IndexError):
            while True:
                found += self._waiting.popleft()
        return found

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
        for _ in range(len(self._tasks) - self._size):
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
        _begin(self._board, slot, claims)
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


def _begin(board: Board, slot: int, claims: Together) -> None:
    first, *others = claims
    board.begin(slot, first.id, first.timeout, [claim.id for claim in others])


def _slots(board: Board, kind: int) -> list[int]:
    """Return the numbers of all slots of a kind, as a heap: the lowest are used first."""
    return list(range(kind, board.slots, KINDS))


def _has_thread(context: ThreadSensitiveContext) -> bool:
    """Tell whether anything ran in the context's thread: a job without sync parts pays no hop to it."""
    return context in SyncToAsync.context_to_thread_executor
