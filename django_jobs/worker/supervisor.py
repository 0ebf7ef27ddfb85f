"""The supervisor: starts the children, beats for them, and takes their jobs back the moment one dies.

It runs no jobs and has one thread, so no job can keep it from beating.
"""

import logging
import os
import select
import signal
import subprocess
from contextlib import suppress
from types import FrameType

from django.db import InterfaceError, OperationalError

from django_jobs import clock
from django_jobs.conf import get_settings
from django_jobs.errors import TransportError
from django_jobs.lifecycle.rescuing import rescue_worker
from django_jobs.transitions.claiming import any_suspect
from django_jobs.transitions.rescuing import beat
from django_jobs.transports import get_transport
from django_jobs.worker import child
from django_jobs.worker.board import Board, make_board_file
from django_jobs.worker.connections import close_connections, use_own_connection
from django_jobs.worker.plan import Plan
from django_jobs.worker.reloading import FileWatch
from django_jobs.worker.watch import QueueWatch

logger = logging.getLogger("django_jobs")

# A child that lives shorter than this died young; each such death in a row doubles the time to the next start.
YOUNG_SECONDS, SHORTEST_PENALTY, LONGEST_PENALTY = 5.0, 0.5, 30.0
# Terminals and process managers send a signal twice; only one that comes later means "now".
SECOND_SIGNAL_SECONDS = 2.0


class Child:
    """One child process as its supervisor sees it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.started_at = clock.monotonic()
        # Threads and coroutines have slots of their own.
        descriptor = make_board_file(2 * plan.concurrency)
        reading, self._lifeline = os.pipe()
        command, environment = child.command(descriptor, reading, plan.to_text())
        self.process = subprocess.Popen(command, env=environment, pass_fds=(descriptor, reading))
        self.board = Board(descriptor)
        os.close(descriptor)
        os.close(reading)

    def is_gone(self) -> bool:
        return self.process.poll() is not None

    def signal(self, number: int) -> None:
        if not self.is_gone():
            self.process.send_signal(number)

    def close(self) -> None:
        os.close(self._lifeline)
        self.board.close()


class Supervisor:
    """Keeps `plan.processes` children alive until it is told to stop, or in a burst until their work is done."""

    def __init__(self, plan: Plan) -> None:
        settings = get_settings()
        self.plan = plan
        self.ended = self.failed = 0
        self._using = settings.DATABASE
        self._every, self._dead_after = settings.HEARTBEAT_SECONDS, settings.DEAD_AFTER_SECONDS
        self._watch = QueueWatch(self._using, plan.queue_names)
        self._files = FileWatch() if plan.autoreload else None
        self._children: list[Child] = []
        self._to_bury: list[Child] = []
        self._stop_asked_at: float | None = None
        self._ended_bursts = 0
        self._penalty = 0.0
        self._next_start = self._next_beat = 0.0
        self._last_good_beat = clock.monotonic()
        self._no_judging_until = 0.0

    def run(self) -> None:
        """Start, watch and end the children. Must run in the main thread, for it handles the signals."""
        use_own_connection(self._using)
        reading, writing = os.pipe()
        for descriptor in (reading, writing):
            os.set_blocking(descriptor, False)
        before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        handlers = {each: signal.signal(each, self._on_signal) for each in (signal.SIGTERM, signal.SIGINT)}
        handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda number, frame: None)
        try:
            while (rest := self.step()) is not None:
                select.select([reading], [], [], rest)
                _drain(reading)
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._end_all()
            for descriptor in (reading, writing):
                os.close(descriptor)
            close_connections()

    def step(self) -> float | None:
        """Do one round; return the seconds until the next, or None when all is over."""
        self._bury()
        if self._stop_asked_at is None:
            self._start_missing()
            self._reload_if_changed()
        elif not self._children and not self._to_bury:
            return None
        if self.plan.burst and self._is_burst_over():
            return None
        if clock.monotonic() >= self._next_beat:
            self._next_beat = clock.monotonic() + self._every
            self._beat()
        rest = self._next_beat - clock.monotonic()
        if self._to_bury or self._next_start > clock.monotonic():
            rest = min(rest, 0.2)
        return max(rest if self._files is None else min(rest, 1.0), 0.0)

    def ask_to_stop(self) -> None:
        """End the children in good order; asked again seconds later: at once."""
        now = clock.monotonic()
        if self._stop_asked_at is None:
            self._stop_asked_at = now
        elif now - self._stop_asked_at < SECOND_SIGNAL_SECONDS:
            return
        for each in self._children:
            each.signal(signal.SIGTERM)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.ask_to_stop()

    def _start_missing(self) -> None:
        if self.plan.burst and self._ended_bursts >= self.plan.processes:
            return
        regular = [each for each in self._children if not each.plan.suspects_only]
        if clock.monotonic() < self._next_start:
            return
        for _ in range(self._wanted() - len(regular)):
            self._children.append(Child(self.plan))

    def _wanted(self) -> int:
        return self.plan.processes - (self._ended_bursts if self.plan.burst else 0)

    def _beat(self) -> None:
        """Beat for all children in one statement; one that is not alive any more is told to live anew."""
        living = {each.board.worker: each for each in self._children if each.board.worker is not None}
        try:
            alive = beat(self._using, [id for id in living if id is not None])
            self._start_for_suspects()
        except (OperationalError, InterfaceError) as error:
            logger.warning("The supervisor cannot beat: the database is away. %s", error)
            close_connections()
            return
        now = clock.monotonic()
        if now - self._last_good_beat > self._dead_after / 2:
            # Others could not beat either, perhaps: for a while nobody here calls anybody dead.
            self._no_judging_until = now + self._dead_after
        self._last_good_beat = now
        for worker, each in living.items():
            if worker in alive:
                each.board.beat(self._no_judging_until)
            elif worker == each.board.worker:
                each.board.declare_dead()
            if self._is_hung(each, now):
                logger.error("Worker process %s does not turn its loop any more and is killed.", each.process.pid)
                each.process.kill()

    def _is_hung(self, each: Child, now: float) -> bool:
        last = max(each.board.last_tick, each.started_at)
        return now - last > self._dead_after + 10 and not each.board.running()

    def _start_for_suspects(self) -> None:
        """Jobs under which a worker died start alone, in a child of their own."""
        if self._stop_asked_at is not None or any(each.plan.suspects_only for each in self._children):
            return
        self._watch.refresh()
        if any_suspect(self._using, self._watch.open_queues()):
            self._children.append(Child(self.plan.for_suspects()))

    def _bury(self) -> None:
        """Take back what dead children had, at once: nobody knows better than the parent that they are gone."""
        for each in [each for each in self._children if each.is_gone()]:
            self._children.remove(each)
            self._to_bury.append(each)
            self._judge_death(each)
        for each in list(self._to_bury):
            try:
                self._take_back(each)
            except (OperationalError, InterfaceError) as error:
                logger.warning("The jobs of a dead worker process cannot be taken back yet. %s", error)
                close_connections()
                return
            self._to_bury.remove(each)
            self.ended += each.board.ended
            self.failed += each.board.failed
            each.close()

    def _judge_death(self, each: Child) -> None:
        status = each.process.returncode
        if status == 0:
            if self.plan.burst and not each.plan.suspects_only:
                self._ended_bursts += 1
            self._penalty = 0.0
            return
        young = clock.monotonic() - each.started_at < YOUNG_SECONDS
        self._penalty = min(max(self._penalty * 2, SHORTEST_PENALTY), LONGEST_PENALTY) if young else 0.0
        self._next_start = clock.monotonic() + self._penalty
        logger.error("Worker process %s died: %s.", each.process.pid, _cause(status))

    def _take_back(self, each: Child) -> None:
        worker = each.board.worker
        if worker is None or each.process.returncode == 0:
            return
        count = rescue_worker(self._using, worker, begun=set(each.board.running()))
        if count:
            logger.warning("%s jobs of the dead process were taken back.", count)
        with suppress(TransportError):  # the sweep rings what it had taken and not claimed
            get_transport().put_back(worker)
        self._start_for_suspects()

    def _is_burst_over(self) -> bool:
        if self._children or self._to_bury:
            return False
        if self._stop_asked_at is None and self._ended_bursts < self.plan.processes:
            return False
        self._watch.refresh()
        if self._stop_asked_at is None and any_suspect(self._using, self._watch.open_queues()):
            self._start_for_suspects()
            return False
        return True

    def _reload_if_changed(self) -> None:
        """Restart the children on changed code. What they run ends first."""
        if self._files is None:
            return
        changed = self._files.changed()
        if changed is not None:
            logger.info("%s changed, the workers restart.", changed)
            for each in self._children:
                each.signal(signal.SIGTERM)

    def _end_all(self) -> None:
        """However `run` ends, no child stays behind."""
        for each in self._children:
            each.signal(signal.SIGKILL)
            each.process.wait()
            each.close()


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 1024):
            pass
    except BlockingIOError:
        pass


def _cause(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"
