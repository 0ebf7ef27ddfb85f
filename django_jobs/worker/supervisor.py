"""The supervisor: starts the children, beats for them, and takes their jobs back the moment one dies.

It runs no jobs and has one thread, so no job can keep it from beating.
"""

import logging
import math
import os
import select
import signal
from contextlib import suppress
from types import FrameType

from django.db import Error as AnyDatabaseError

from django_jobs import clock
from django_jobs.conf import get_settings
from django_jobs.errors import TransportError
from django_jobs.lifecycle.rescuing import rescue_worker
from django_jobs.transitions.claiming import any_suspect
from django_jobs.transitions.rescuing import beat
from django_jobs.transports import get_transport
from django_jobs.worker.births import Births, Child
from django_jobs.worker.child import RECYCLED
from django_jobs.worker.connections import close_connections, use_own_connection
from django_jobs.worker.plan import Plan
from django_jobs.worker.reloading import FileWatch
from django_jobs.worker.watch import QueueWatch

logger = logging.getLogger("django_jobs")

# A child that lived no longer than this, and died under no body, died of itself.
YOUNG_SECONDS = 5.0
# Terminals and process managers send a signal twice; only one that comes later means "now".
SECOND_SIGNAL_SECONDS = 2.0
# A child that has not ended so long after its time does not hear: a body holds its interpreter, or the database it.
LONGEST_END_SECONDS = 30.0


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
        self._kill_at = math.inf
        self._ended_bursts = 0
        self._births, self._suspects_births = Births(), Births()
        self._next_beat = 0.0
        self._database_is_away = False
        self._last_good_beat = clock.monotonic()
        # A newcomer does not know whether the database was away until now: the others get the time to beat first.
        self._no_judging_until = clock.monotonic() + 2 * self._every

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
            self._end_all()
            close_connections()
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for descriptor in (reading, writing):
                os.close(descriptor)

    def step(self) -> float | None:
        """Do one round; return the seconds until the next, or None when all is over."""
        self._notice_deaths()
        if self._stop_asked_at is None:
            self._start_missing()
            self._reload_if_changed()
        else:
            self._tell_children_to_stop()
        try:
            self._bury()
            if clock.monotonic() >= self._next_beat:
                self._next_beat = clock.monotonic() + self._every
                self._beat()
            if self._is_over():
                return None
            self._database_is_away = False
        except AnyDatabaseError as error:
            self._complain(error)
            if self._stop_asked_at is not None and not self._children:
                return None  # the others take back what is left, when its owners have been silent for long enough
        rest = self._next_beat - clock.monotonic()
        if self._to_bury or not self._births.may_start():
            rest = min(rest, 0.2)
        return max(rest if self._files is None else min(rest, 1.0), 0.0)

    def ask_to_stop(self) -> None:
        """End the children in good order; asked again seconds later: at once."""
        now = clock.monotonic()
        if self._stop_asked_at is None:
            self._stop_asked_at = now
            self._kill_at = now + self.plan.grace_seconds + LONGEST_END_SECONDS
            self._tell_children_to_stop()
        elif now - self._stop_asked_at >= SECOND_SIGNAL_SECONDS:
            self._kill_at = min(self._kill_at, now + LONGEST_END_SECONDS)
            for each in self._children:
                each.board.hurry()

    def _tell_children_to_stop(self) -> None:
        """Told again in each round, for one may just have been on its way into the world."""
        is_late = clock.monotonic() > self._kill_at
        for each in self._children:
            each.signal(signal.SIGKILL if is_late else signal.SIGTERM)

    def _complain(self, error: AnyDatabaseError) -> None:
        if not self._database_is_away:
            logger.warning("The supervisor cannot beat for its workers: the database is away. %s", error)
        self._database_is_away = True
        close_connections()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.ask_to_stop()

    def _start_missing(self) -> None:
        wanted = self.plan.processes - (self._ended_bursts if self.plan.burst else 0)
        regular = [each for each in self._children if not each.plan.suspects_only]
        for _ in range(wanted - len(regular)):
            self._start(self.plan, self._births)

    def _start(self, plan: Plan, births: Births) -> None:
        if not births.may_start():
            return
        try:
            self._children.append(Child(plan))
        except OSError as error:  # no more processes, memory or descriptors: those that run shall go on
            births.were_vain()
            logger.error("A worker process cannot be started now. %s", error)

    def _beat(self) -> None:
        """Beat for all children in one statement; one that is not alive any more is told to live anew."""
        living = {each.board.worker: each for each in self._children if each.board.worker is not None}
        alive = beat(self._using, [id for id in living if id is not None])
        now = clock.monotonic()
        if now - self._last_good_beat > self._dead_after / 2:
            # Others could not beat either, perhaps: for a while nobody here calls anybody dead.
            self._no_judging_until = now + self._dead_after
        self._last_good_beat = now
        for worker, each in living.items():
            if worker in alive:
                each.board.beat(self._no_judging_until)
            elif worker is not None:
                each.board.declare_dead(worker)
            if self._is_hung(each, now):
                logger.error("Worker process %s does not turn its loop any more and is killed.", each.process.pid)
                each.process.kill()
        self._start_for_suspects()

    def _is_hung(self, each: Child, now: float) -> bool:
        # It should have ended itself, but a body may hold its whole interpreter.
        if each.board.overdue(2 * self.plan.grace_seconds + LONGEST_END_SECONDS):
            return True
        last = max(each.board.last_tick, each.started_at)
        return now - last > self._dead_after + 10 and not each.board.running()

    def _start_for_suspects(self) -> None:
        """Jobs under which a worker died start alone, in a child of their own."""
        if self._stop_asked_at is not None or any(each.plan.suspects_only for each in self._children):
            return
        self._watch.refresh()
        if self._suspects_births.may_start() and any_suspect(self._using, self._watch.open_queues()):
            self._start(self.plan.for_suspects(), self._suspects_births)

    def _notice_deaths(self) -> None:
        for each in [each for each in self._children if each.is_gone()]:
            self._children.remove(each)
            self._to_bury.append(each)
            self._judge_death(each)

    def _bury(self) -> None:
        """Take back what dead children had, at once: nobody knows better than the parent that they are gone."""
        for each in list(self._to_bury):
            self._take_back(each)
            self._to_bury.remove(each)
            self.ended += each.board.ended
            self.failed += each.board.failed
            each.close()

    def _judge_death(self, each: Child) -> None:
        """Tell an end from a death, and what the next birth of its kind is worth."""
        births = self._suspects_births if each.plan.suspects_only else self._births
        if each.board.has_left:
            # One for suspects that has run nothing: there is none that can start here.
            good = each.board.ended > 0 or not each.plan.suspects_only
            if not each.plan.suspects_only and each.process.returncode != RECYCLED:
                self._ended_bursts += 1
        elif self._stop_asked_at is not None and each.board.worker is None:
            return  # told to end before it had begun
        else:
            logger.error("Worker process %s died: %s.", each.process.pid, _cause(each.process.returncode))
            # Under a body: that the job is a suspect then, and starts elsewhere, is measure enough.
            good = bool(each.board.running()) or clock.monotonic() - each.started_at > YOUNG_SECONDS
        if good:
            births.were_good()
        else:
            births.were_vain()

    def _take_back(self, each: Child) -> None:
        worker = each.board.worker
        if worker is None or each.board.has_left:
            return
        count = rescue_worker(self._using, worker, begun=each.board.begun())
        if count:
            logger.warning("%s jobs of the dead process were taken back.", count)
        with suppress(TransportError):  # the sweep rings what it had taken and not claimed
            get_transport().put_back(worker)
        self._start_for_suspects()

    def _is_over(self) -> bool:
        """Whether all children have ended that were to end, and no other is needed."""
        if self._stop_asked_at is None:
            if not self.plan.burst or self._ended_bursts < self.plan.processes:
                return False
            self._start_for_suspects()
        return not self._children and not self._to_bury

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
