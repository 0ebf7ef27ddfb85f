"""Timeouts: when the time of a body is up, JobTimeout is raised in it. One thread watches all; others pay nothing.

A `def` body is struck by an exception that Python raises in its thread as soon as that executes Python again: a call
that waits in C, such as time.sleep() or a read from a socket, returns first. An `async def` body is cancelled at its
next await. Each body is struck once; one that goes on for longer than the grace after it is stuck.
"""

import ctypes
import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Protocol

from django_jobs import clock
from django_jobs.conf import get_settings
from django_jobs.definitions.outcomes import Claim
from django_jobs.errors import JobTimeout

logger = logging.getLogger("django_jobs")

# No wait may be longer than the system can count.
LONGEST_REST = 3600.0
_UNTIMED = nullcontext()


class Target(Protocol):
    """What can be struck."""

    def strike(self) -> None: ...


class Watched:
    """A body with a timeout, the claims that it runs for, and when to look at it next."""

    __slots__ = ("claims", "deadline", "due", "target")

    def __init__(self, claims: Sequence[Claim], seconds: float, target: Target) -> None:
        self.claims, self.target = claims, target
        self.deadline = self.due = clock.monotonic() + seconds


class Watch:
    """Strikes each body when its time is up, and says which are stuck. Its thread starts with the first."""

    def __init__(self) -> None:
        # Called once for each claim whose body is stuck.
        self.on_stuck: Callable[[Claim], None] = lambda claim: None
        self._lock = threading.Lock()
        self._watched: dict[int, Watched] = {}
        self._next = 0.0
        # Not an Event: a thread that is struck inside of one would leave its lock locked.
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def add(self, watched: Watched) -> None:
        # All inside the lock: only when it is free again can the body of this thread be struck.
        with self._lock:
            self._watched[id(watched)] = watched
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="timeouts of jobs", daemon=True)
                self._thread.start()
            elif watched.due < self._next:
                self._wakes.put(None)

    def remove(self, watched: Watched) -> None:
        with self._lock:
            del self._watched[id(watched)]

    def overdue(self) -> set[Any]:
        """Return the claims whose bodies run although their time is up, as id and fence."""
        with self._lock:
            watched = list(self._watched.values())
        present = clock.monotonic()
        return {(claim.id, claim.fence) for each in watched if each.deadline <= present for claim in each.claims}

    def step(self) -> float:
        """Strike what is due; return the seconds until something else is."""
        present = clock.monotonic()
        with self._lock:
            due = [each for each in self._watched.values() if each.due <= present]
        for each in due:
            try:
                self._act(each)
            except Exception:  # the others are to be struck all the same
                claim = each.claims[0]
                logger.exception("The timeout of job %s (%s) came to nothing.", claim.id, claim.name)
        with self._lock:
            self._next = min((each.due for each in self._watched.values()), default=float("inf"))
            return max(min(self._next - clock.monotonic(), LONGEST_REST), 0.0)

    def _act(self, each: Watched) -> None:
        if each.due == each.deadline:
            each.due = each.deadline + max(get_settings().GRACE_SECONDS, 0.001)
            each.target.strike()
            return
        each.due = float("inf")
        for claim in each.claims:
            logger.error("Job %s (%s) goes on although its time was up long ago.", claim.id, claim.name)
            self.on_stuck(claim)

    def _run(self) -> None:
        while True:
            rest = self.step()
            with suppress(queue.Empty):
                self._wakes.get(timeout=rest)


watch = Watch()


class Shot:
    """Raises JobTimeout in the thread that made it: once at most, and never after it was closed."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        # Reentrant, for the shot may strike while its own thread has just taken it.
        self._lock = threading.RLock()
        self._is_open = True
        self.was_fired = False

    def strike(self) -> None:
        with self._lock:
            if self._is_open:
                self.was_fired = True
                _raise_in(self._thread, JobTimeout)

    def close(self) -> None:
        with self._lock:
            self._is_open = False
            if self.was_fired:
                _raise_in(self._thread, None)  # it may still be on its way


def call_in_time(claims: Sequence[Claim], function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call the `def` body of one claim, or of several with the same timeout; when its time is up, raise JobTimeout."""
    claim = claims[0]
    if claim.timeout is None:
        return function(*args, **kwargs)
    shot = Shot()
    watched = Watched(claims, claim.timeout, shot)
    try:
        try:
            watch.add(watched)
            return function(*args, **kwargs)
        finally:
            shot.close()
    except JobTimeout as error:
        # It may have struck in the very moment of closing. It strikes once, so now nothing can come any more.
        shot.close()
        if shot.was_fired:
            error.args = (message(claim),)
        raise
    finally:
        watch.remove(watched)


def in_time(claims: Sequence[Claim], target: Target) -> AbstractContextManager[None]:
    """Strike the target when the time of its body is up, as long as the block has not ended."""
    timeout = claims[0].timeout
    return _UNTIMED if timeout is None else _in_time(claims, timeout, target)


@contextmanager
def _in_time(claims: Sequence[Claim], seconds: float, target: Target) -> Iterator[None]:
    watched = Watched(claims, seconds, target)
    watch.add(watched)
    try:
        yield
    finally:
        watch.remove(watched)


def message(claim: Claim) -> str:
    """Return what the error of a job that took too long says."""
    return f"The body ran longer than its timeout of {claim.timeout:g} s."


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    argument = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), argument)
