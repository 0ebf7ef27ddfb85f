"""One sandbox as its worker sees it: a process, the line to it, its output, and the lifeline on which it hangs."""

import os
import selectors
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django_jobs import clock
from django_jobs.definitions.outcomes import Claim, Outcome
from django_jobs.definitions.sandbox import Limits
from django_jobs.errors import WorkerError
from django_jobs.lifecycle.reporting import Notes
from django_jobs.worker.interpreters import cause_of_end, command
from django_jobs.worker.sandbox.guard import Guard
from django_jobs.worker.sandbox.memory import resident_bytes
from django_jobs.worker.sandbox.messages import (
    BEGUN,
    CANCEL,
    CLAIM,
    OUTCOME,
    PROGRESS,
    READY,
    Channel,
    pack_claim,
    unpack_outcome,
)
from django_jobs.worker.sandbox.output import SAID, Hear, Output

INSIDE = "django_jobs.worker.sandbox.inside"
# So long a process may take to set Django up or to begin a body, and an idle one to end.
START_SECONDS, END_SECONDS = 60.0, 2.0
LOOK_SECONDS = 0.25
# So much of what a process printed that could not start is told.
LAST_LINES = 40


class SandboxProcess:
    """Runs one claim after the other. Belongs to one thread at a time; `stop` and `kill` may come from any."""

    def __init__(self) -> None:
        self.jobs = 0
        self.started_at = self.idle_since = clock.monotonic()
        self._guard: Guard | None = None
        self._is_ready = self._is_closed = False
        self._heard: deque[tuple[str, Any]] = deque()
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        lifeline, self._lifeline = os.pipe()
        self._channel, self._output = Channel(ours), Output(reading)
        self._selector = selectors.DefaultSelector()
        for each in (self._channel, self._output):
            self._selector.register(each, selectors.EVENT_READ)
        try:
            self.process = _start(theirs.fileno(), lifeline, writing)
        except OSError:
            self._close()
            raise
        finally:
            theirs.close()
            os.close(lifeline)
            os.close(writing)

    def await_ready(self) -> None:
        """Wait until it can run jobs. Raises WorkerError, with what it printed, if it never will."""
        printed: deque[bytes] = deque(maxlen=LAST_LINES)
        if self._await(READY, printed.append):
            self._is_ready = True
            for line in printed:
                _pass_on(line)
            return
        status = self.end(printed.append)
        cause = f"not ready after {START_SECONDS:g} s" if status is None else cause_of_end(status)
        text = b"\n".join(printed).decode(errors="replace")
        raise WorkerError(f"A sandbox cannot be started: {cause}. It printed:\n{text}")

    def run(self, claim: Claim, limits: Limits, on_begun: Callable[[], None]) -> Outcome | None:
        """Run a body to its end, whichever; None: the process is gone, and the body has not begun."""
        self.jobs += 1
        self._output.read_all(_pass_on)  # what was printed since the last body belongs to no job
        notes = Notes(claim)

        def hear(line: bytes) -> None:
            if not line.startswith(SAID):
                _pass_on(line)
            notes.log(line.removeprefix(SAID).decode(errors="replace"))

        with suppress(OSError):
            self._channel.send(CLAIM, pack_claim(claim))
        if not self._await(BEGUN, hear):
            self.end(hear)
            return None
        on_begun()
        guard = Guard(claim, limits)
        self._guard = guard
        reported = self._accompany(guard, notes, hear)
        self._guard = None
        self._output.read_all(hear)
        status = self.end(hear) if reported is None or guard.has_struck else None
        return guard.judge(reported, status)

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def told(self) -> dict[str, object]:
        """Return which process this is, whether it can run jobs yet, and the job that it runs, as JSON has it."""
        guard = self._guard
        return {"pid": self.process.pid, "ready": self._is_ready, "job": None if guard is None else str(guard.job)}

    def stop(self) -> None:
        """Have the body that runs ended soon."""
        if (guard := self._guard) is not None:
            guard.stop()

    def kill(self) -> None:
        """Kill the process, and those that its bodies have started and left in its group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def dismiss(self) -> None:
        """Tell an idle process to end."""
        self._channel.shut()

    def retire(self) -> None:
        """End an idle process; nothing is left of one that has ended already."""
        if not self._is_closed:
            self.end(_pass_on)

    def end(self, hear: Hear) -> int | None:
        """Have the process end, by force if it does not, and close everything; return its status, None for force."""
        self.dismiss()
        try:
            status = self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            status = None
        self.kill()
        self.process.wait()
        self._output.read_all(hear)
        self._close()
        return status

    def _accompany(self, guard: Guard, notes: Notes, hear: Hear) -> Outcome | None:
        """Hear what the body says until it has ended; return what was reported, None if the process is gone."""
        try:
            while True:
                match self._listen(hear, guard.rest):
                    case (word, value) if word == PROGRESS:
                        notes.progress(*value)
                    case (word, value) if word == OUTCOME:
                        return unpack_outcome(value)
                self._obey(guard)
        except EOFError:
            return None

    def _obey(self, guard: Guard) -> None:
        reason = guard.cancel()
        if reason is not None:
            with suppress(OSError):
                self._channel.send(CANCEL, reason)
        number = guard.signal(resident_bytes(self.process.pid) if guard.has_limit else 0)
        if number == signal.SIGKILL:
            self.kill()
        elif number is not None:
            self.process.send_signal(number)

    def _await(self, word: str, hear: Hear) -> bool:
        """Wait for a word; return whether it was said."""
        deadline = clock.monotonic() + START_SECONDS
        try:
            while clock.monotonic() < deadline:
                if self._listen(hear, LOOK_SECONDS)[0] == word:
                    return True
        except EOFError:
            pass
        return False

    def _listen(self, hear: Hear, seconds: float) -> tuple[str, Any]:
        """Wait a moment for a message, and hear what is printed. Raises EOFError when the process is gone."""
        if not self._heard:
            # Looked at first: what it said before it went is still to be heard.
            is_gone = self.process.poll() is not None
            ready = [key.fileobj for key, _ in self._selector.select(0 if is_gone else seconds)]
            if self._output in ready:
                self._output.read(hear)
                if self._output.is_over:
                    self._selector.unregister(self._output)
            if self._channel in ready:
                self._heard.extend(self._channel.receive())
            elif is_gone:
                raise EOFError
        return self._heard.popleft() if self._heard else ("", None)

    def _close(self) -> None:
        self._is_closed = True
        self._selector.close()
        self._channel.close()
        self._output.close()
        os.close(self._lifeline)


def _start(line: int, lifeline: int, output: int) -> subprocess.Popen[bytes]:
    arguments, environment = command(INSIDE, {"line": line, "lifeline": lifeline})
    return subprocess.Popen(
        arguments,
        # What Python prints goes out at once, so that it stands in order with what else is written.
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(line, lifeline),
        # A terminal's Ctrl-C does not reach it, and what a body starts can be ended together with it.
        process_group=0,
    )


def _pass_on(line: bytes) -> None:
    """Print what a sandbox printed, where the worker prints."""
    with suppress(OSError):
        os.write(2, line + b"\n")
