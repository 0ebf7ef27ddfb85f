"""The sandboxes of a worker: processes that start when a job needs one, and stay for the next."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from django_jobs import clock
from django_jobs.conf import get_settings
from django_jobs.definitions.outcomes import Claim, Ended, GivenBack, Outcome
from django_jobs.definitions.registry import find_spec, get_spec
from django_jobs.definitions.sandbox import Limits, Sandbox, limits_of
from django_jobs.errors import SandboxDied, WorkerError
from django_jobs.execution.execute import outcome_of
from django_jobs.worker.births import Births
from django_jobs.worker.board import Board
from django_jobs.worker.connections import care_for_connections
from django_jobs.worker.sandbox.process import SandboxProcess

logger = logging.getLogger("django_jobs")

# A process that had nothing to do for so long is ended.
IDLE_SECONDS = 300.0
# How long bodies that are told to end by a worker that ends may take to do so.
STOP_SECONDS = 0.5
# Of so many the worker's row tells.
MOST_TOLD = 50


class Sandboxes:
    """Runs one body in one process for each thread that asks. Whoever used a process last is used next."""

    def __init__(self, board: Board, done: Callable[[Ended], None], holds: Callable[[Claim], bool]) -> None:
        self._board, self._done, self._holds = board, done, holds
        self._lock = threading.Lock()
        self._idle: list[SandboxProcess] = []
        self._busy: set[SandboxProcess] = set()
        self._births = Births()
        self._has_complained = self._is_stopping = False

    def run_one(self, slot: int, claim: Claim) -> None:
        """Run a body to its end and hand over what came of it."""
        limits = limits_of(get_spec(claim.name).sandbox or Sandbox(), get_settings())
        begun: list[float] = []

        def begin() -> None:
            begun.append(clock.monotonic())
            # Nobody else shall end it before its guard does.
            patience = None if claim.timeout is None else claim.timeout + 2 * limits.grace_seconds
            self._board.begin(slot, claim.id, patience)

        sandbox = self._take(limits)
        # Asked now: one that had to be started has taken its time.
        may_begin = sandbox is not None and self._holds(claim)
        outcome = self._run(sandbox, claim, limits, begin) if sandbox is not None and may_begin else None
        care_for_connections()  # the backoff of the job may have asked the database, here
        is_spent = sandbox is not None and not self._put_back(sandbox, limits)
        finished = clock.monotonic()
        self._board.end(slot)
        self._done(Ended(claim, outcome or GivenBack(), begun[0] if begun else finished, finished))
        if sandbox is not None and is_spent:
            sandbox.retire()

    def runnable(self, names: list[str]) -> list[str]:
        """Return the jobs that can run here now.

        For a while none that need a sandbox, if none could be started and no other waits for a job.
        """
        if self._births.may_start() or self._idle:
            return names
        return [name for name in names if (spec := find_spec(name)) is None or spec.sandbox is None]

    def told(self) -> list[dict[str, object]]:
        """Return what the processes do, the oldest first, for people to see."""
        with self._lock:
            found = sorted([*self._busy, *self._idle], key=lambda each: each.started_at)
        return [each.told() for each in found[:MOST_TOLD]]

    def retire_idle(self) -> None:
        """End the processes that had nothing to do for long."""
        latest = clock.monotonic() - IDLE_SECONDS
        with self._lock:
            old = [each for each in self._idle if each.idle_since <= latest]
            self._idle = [each for each in self._idle if each not in old]
        for each in old:
            each.retire()

    def cut_off(self) -> None:
        """End the bodies that run, so that they are over before their jobs start elsewhere."""
        self._is_stopping = True
        self._each_busy(SandboxProcess.stop)
        if not self._await_ends(STOP_SECONDS):
            self._each_busy(SandboxProcess.kill)
            self._await_ends(STOP_SECONDS)

    def stop(self) -> None:
        """End the idle processes. To be called after `cut_off`, or when nothing runs."""
        self._is_stopping = True
        with self._lock:
            idle, self._idle = self._idle, []
        for each in idle:
            each.dismiss()
        for each in idle:
            each.retire()

    def _take(self, limits: Limits) -> SandboxProcess | None:
        """Return a process that may run one more job, an idle one or a new one; None: there is none, for now."""
        with self._lock:
            fit = next((each for each in reversed(self._idle) if _is_fit(each, limits)), None)
            if fit is not None:
                self._idle.remove(fit)
                self._busy.add(fit)
                return fit
            unfit = self._idle.pop(0) if self._idle else None
        if unfit is not None:
            unfit.retire()
        return self._start()

    def _start(self) -> SandboxProcess | None:
        if self._is_stopping or not self._births.may_start():
            return None
        sandbox = None
        try:
            sandbox = SandboxProcess()
            with self._lock:
                self._busy.add(sandbox)
            sandbox.await_ready()
        except (WorkerError, OSError) as error:
            self._complain(sandbox, error)
            return None
        self._births.were_good()
        self._has_complained = False
        return sandbox

    def _complain(self, sandbox: SandboxProcess | None, error: Exception) -> None:
        """Say once why no sandbox can be started. The jobs go back, and others may have them."""
        with self._lock:
            self._busy -= {sandbox}
            if self._births.may_start():  # several that were started together are one trial
                self._births.were_vain()
            is_new, self._has_complained = not self._has_complained, True
        if is_new and not self._is_stopping:
            logger.error("Jobs that need a sandbox wait until one can be started. %s", error)

    def _run(self, sandbox: SandboxProcess, claim: Claim, limits: Limits, begin: Callable[[], None]) -> Outcome | None:
        try:
            return sandbox.run(claim, limits, begin)
        except Exception as error:  # the thread has more jobs to run
            logger.exception("The sandbox of job %s (%s) cannot be understood.", claim.id, claim.name)
            sandbox.kill()
            return outcome_of(claim, SandboxDied(f"Its worker could not understand the process of this job: {error}"))

    def _put_back(self, sandbox: SandboxProcess, limits: Limits) -> bool:
        """Keep a process for the next job; return False if it has run enough, or has ended."""
        sandbox.idle_since = clock.monotonic()
        with self._lock:
            self._busy.discard(sandbox)
            if self._is_stopping or not _is_fit(sandbox, limits):
                return False
            self._idle.append(sandbox)
            return True

    def _each_busy(self, act: Callable[[SandboxProcess], Any]) -> None:
        with self._lock:
            for each in self._busy:
                act(each)

    def _await_ends(self, seconds: float) -> bool:
        """Wait until no body runs, but not longer; return whether it is so."""
        deadline, waiter = clock.monotonic() + seconds, threading.Event()
        while self._busy and clock.monotonic() < deadline:
            waiter.wait(0.01)
        return not self._busy


def _is_fit(sandbox: SandboxProcess, limits: Limits) -> bool:
    age = clock.monotonic() - sandbox.started_at
    return sandbox.is_alive and sandbox.jobs < limits.max_jobs and age < get_settings().SANDBOX_MAX_SECONDS
