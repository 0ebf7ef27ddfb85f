"""Where the bodies of `def` jobs run: threads over one queue, as many of them awake as the bodies need."""

import contextvars
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from heapq import heappop, heappush

from django_jobs import clock
from django_jobs.definitions.outcomes import Claim, Ended, GivenBack, Outcome
from django_jobs.execution.batches import execute_together
from django_jobs.worker.board import KINDS, Board
from django_jobs.worker.connections import IDLE_SECONDS, care_for_connections, close_connections
from django_jobs.worker.pace import Pace
from django_jobs.worker.slots import Done, Holds, Together, begin, slots_of, withdraw

# How long the end waits for threads that may still run a body.
JOIN_SECONDS = 0.5
# So often somebody looks whether the runner gets along. A few times it may only have waited for Python's lock.
LOOK_SECONDS = 0.002
MOST_MISSED = 3


class ThreadPool:
    """A number of threads over one queue: no future per job, a hand-over costs less than a microsecond.

    Bodies of microseconds run in one of them, the runner, for the others would only wait for Python's lock. Another
    one looks on, and if the runner is held up, all run. Not so where `run_one` has them run in other processes.
    """

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
        self._shares_a_lock = run_one is None
        self._waiting: deque[Together] = deque()
        # A ticket wakes a thread: there may be something to run, or one thread too many.
        self._tickets: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._pace = Pace()
        # How many bodies have begun.
        self._starts = 0
        self._runner: int | None = None
        # Held by the thread that looks on.
        self._looking_on = threading.Lock()
        self._threads: dict[int, threading.Thread] = {}
        self._free_slots = slots_of(board, kind)
        self._started = False
        self._lock = threading.Lock()

    def put(self, bodies: Sequence[Together]) -> None:
        """Queue bodies; each starts as soon as there is a place."""
        if not self._started:
            self._started, self.last_start = True, clock.monotonic()
            self.resize(self._size)
        if not self._waiting:
            self.last_start = clock.monotonic()
        self._waiting += bodies
        if self._shares_a_lock and self._pace.begin_trial():
            self._runner = None
        # Of brisk ones: a thread to run them, and one to look on.
        self._hand_out(min(len(self._waiting), 2) if self._pace.is_brisk else len(bodies))

    def withdraw(self) -> list[Claim]:
        """Return the claims of all bodies that have not begun; they will not begin here."""
        return withdraw(self._waiting)

    def resize(self, size: int) -> None:
        """Have so many threads from now on; those that run a body beyond that end after it."""
        with self._lock:
            self._size = size
            while self._started and len(self._threads) < size:
                slot = heappop(self._free_slots)
                name = f"django_jobs {slot // KINDS}"
                self._threads[slot] = threading.Thread(target=self._run, args=(slot,), name=name, daemon=True)
                self._threads[slot].start()
            self._hand_out(len(self._threads) - size)

    def stop(self) -> None:
        """End the threads; what still runs is not waited for."""
        threads = list(self._threads.values())
        self.resize(0)
        deadline = clock.monotonic() + JOIN_SECONDS
        for thread in threads:
            thread.join(max(deadline - clock.monotonic(), 0.0))

    def _run(self, slot: int) -> None:
        while not self._leaves(slot):
            claims = self._next(slot)
            if claims is None:
                self._wait()
                continue
            is_runner = self._runner == slot
            self._starts += 1
            self.last_start = began = clock.monotonic()
            self._run_one(slot, claims)
            # One that was held up, and has another runner now, tells nothing of those that came since.
            if self._pace.learn(clock.monotonic() - began, alone=is_runner and self._runner == slot):
                self._hand_out(len(self._waiting))
        close_connections()

    def _next(self, slot: int) -> Together | None:
        """Return what this thread is to run; None: there is nothing, or another thread sees to it."""
        while True:
            while self._waiting:
                if not self._pace.is_brisk or self._becomes_runner(slot):
                    with suppress(IndexError):
                        return self._waiting.popleft()
                elif not self._looks_on():
                    return None
            if self._runner != slot:
                return None
            self._step_down(slot)  # and look once more: whoever came meanwhile took this one for the runner

    def _becomes_runner(self, slot: int) -> bool:
        if self._runner is None:
            self._runner = slot
        return self._runner == slot

    def _step_down(self, slot: int) -> None:
        if self._runner == slot:
            self._runner = None

    def _looks_on(self) -> bool:
        """Look on while the runner gets along; return False at once if another thread does so."""
        if not self._looking_on.acquire(blocking=False):
            return False
        try:
            missed = 0
            while self._waiting and self._pace.is_brisk and self._runner is not None and missed < MOST_MISSED:
                seen = self._starts
                time.sleep(LOOK_SECONDS)
                missed = missed + 1 if self._starts == seen else 0
            if missed == MOST_MISSED:
                self._pace.slow_down()
                self._hand_out(len(self._waiting))
        finally:
            self._looking_on.release()
        return True

    def _hand_out(self, tickets: int) -> None:
        for _ in range(tickets):
            self._tickets.put(None)

    def _wait(self) -> None:
        """Wait for a ticket; an idle thread does not keep connections that a server would rather have back."""
        try:
            self._tickets.get(timeout=self._idle_seconds or IDLE_SECONDS)
        except queue.Empty:
            self._on_idle()
            self._tickets.get()

    def _leaves(self, slot: int) -> bool:
        """Leave if there are more threads than there shall be."""
        if len(self._threads) <= self._size:
            return False
        with self._lock:
            is_one_too_many = len(self._threads) > self._size
            if is_one_too_many:
                self._step_down(slot)  # before another thread has the slot
                del self._threads[slot]
                heappush(self._free_slots, slot)
        return is_one_too_many

    def _run_here(self, slot: int, claims: Together) -> None:
        started = clock.monotonic()
        begin(self._board, slot, claims)
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
