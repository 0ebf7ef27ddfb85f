"""The runner: the inside of a sandbox. Bodies run in the main thread, which alone hears signals; another listens."""

import asyncio
import atexit
import contextvars
import faulthandler
import os
import queue
import select
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from asgiref.sync import sync_to_async

from django_jobs import clock
from django_jobs.definitions.outcomes import Claim, Outcome
from django_jobs.definitions.progress import checked, is_plain
from django_jobs.definitions.registry import get_spec
from django_jobs.execution.cancelling import hear
from django_jobs.execution.execute import aexecute, execute, outcome_of
from django_jobs.lifecycle.reporting import Notes, log_lines, make_notes_by
from django_jobs.transports import close_transports
from django_jobs.worker.connections import IDLE_SECONDS, care_for_connections, close_connections
from django_jobs.worker.sandbox.messages import (
    BEGUN,
    CANCEL,
    CLAIM,
    OUTCOME,
    PROGRESS,
    READY,
    Channel,
    pack_outcome,
    unpack_claim,
)
from django_jobs.worker.sandbox.output import say

# How often the worker is told how far a body has come.
TELL_SECONDS = 0.25


class Runner:
    """Runs the claims that come over the line until that is closed."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        # The body may close or replace its own.
        self._output = os.dup(1)
        self._claims: queue.SimpleQueue[Claim | None] = queue.SimpleQueue()
        self._claim: Claim | None = None
        self._is_in_body = False
        self._progress: tuple[Any, Any, Any] | None = None
        self._telling = threading.Lock()
        self._loop: asyncio.Runner | None = None

    def run(self) -> None:
        """Run what comes. Called in the main thread; does not return."""
        make_notes_by(lambda claim: PassedOn(claim, self._note_progress, self._log))
        signal.signal(signal.SIGTERM, self._on_term)
        # Also before a body is killed that hears nothing: this is printed by the signal handler itself.
        faulthandler.register(signal.SIGTERM, all_threads=False, chain=True)
        threading.Thread(target=self._listen, name="django_jobs sandbox", daemon=True).start()
        self._channel.send(READY)
        while (claim := self._next()) is not None:
            self._run_one(claim)
        self._close_connections()
        close_transports()
        atexit._run_exitfuncs()
        os.killpg(0, signal.SIGKILL)

    def _next(self) -> Claim | None:
        """Wait for a claim; one that is idle does not keep connections that a server would rather have back."""
        try:
            return self._claims.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            self._close_connections()
            return self._claims.get()

    def _run_one(self, claim: Claim) -> None:
        self._channel.send(BEGUN)
        started = clock.monotonic()
        self._is_in_body = True
        try:
            outcome = self._execute(claim)
        except BaseException as error:  # SIGTERM, outside of the body itself
            outcome = outcome_of(claim, error)
        self._is_in_body = False
        self._care(distrust=claim.timeout is not None and clock.monotonic() - started >= claim.timeout)
        self._tell()
        # Before the last word: the next claim may be here a moment after it.
        self._claim = None
        self._channel.send(OUTCOME, pack_outcome(outcome))

    def _execute(self, claim: Claim) -> Outcome:
        # A context of its own, so that what a body sets there is gone with it.
        context = contextvars.copy_context()
        if not get_spec(claim.name).is_async:
            return context.run(execute, claim)
        if self._loop is None:
            self._loop = asyncio.Runner()
        return self._loop.run(aexecute(claim), context=context)

    def _care(self, *, distrust: bool) -> None:
        care_for_connections(distrust=distrust)
        if self._loop is not None:
            # Their sync parts have a thread of their own.
            self._loop.run(sync_to_async(care_for_connections)(distrust=distrust))

    def _close_connections(self) -> None:
        close_connections()
        if self._loop is not None:
            self._loop.run(sync_to_async(close_connections)())

    def _on_term(self, number: int, frame: FrameType | None) -> None:
        """The body is to end: let its `finally` run. At any other time the worker decides what becomes of us."""
        if self._is_in_body:
            raise SystemExit("Ended by SIGTERM.")

    # In the thread that listens

    def _listen(self) -> None:
        try:
            while True:
                rest = None if self._claim is None else TELL_SECONDS
                if select.select([self._channel], [], [], rest)[0]:
                    for word, value in self._channel.receive():
                        self._hear(word, value)
                self._tell()
        except (EOFError, OSError, ValueError):
            if self._claim is not None:
                # The worker is gone, and with it the right to run this.
                os.killpg(0, signal.SIGKILL)
            self._claims.put(None)

    def _hear(self, word: str, value: Any) -> None:
        if word == CLAIM:
            hear({})
            self._claim = unpack_claim(value)
            self._claims.put(self._claim)
        elif word == CANCEL and (claim := self._claim) is not None:
            hear({(claim.id, claim.fence): value})

    # What bodies say, in any of their threads

    def _note_progress(self, progress: tuple[Any, Any, Any]) -> None:
        self._progress = progress

    def _log(self, lines: list[str]) -> None:
        say(self._output, lines)

    def _tell(self) -> None:
        with self._telling, suppress(OSError):
            progress, self._progress = self._progress, None
            if progress is not None:
                self._channel.send(PROGRESS, progress)


class PassedOn(Notes):
    """Notes that the worker writes: what is logged goes there at once, how far the body has come now and then."""

    def __init__(
        self,
        claim: Claim,
        progress: Callable[[tuple[Any, Any, Any]], None],
        log: Callable[[list[str]], None],
    ) -> None:
        super().__init__(claim)
        self._pass_progress, self._pass_log = progress, log

    def progress(self, current: Any, total: float | None, message: str) -> None:
        if not is_plain(current, total, message):
            current, total, message = checked(current, total, message)
        self._pass_progress((current, total, message))

    def log(self, text: object) -> None:
        self._pass_log(log_lines(text))
