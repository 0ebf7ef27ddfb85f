"""The supervisor: starts the children, beats for them, and takes their jobs back the moment one dies.

It runs no jobs and has one thread, so no job can keep it from beating.
"""

import logging
import math
import os
import select
import signal
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

from django.db import Error as AnyDatabaseError

from django_jobs import clock
from django_jobs.conf import get_settings
from django_jobs.errors import TransportError
from django_jobs.lifecycle import workers
from django_jobs.lifecycle.rescuing import rescue_worker
from django_jobs.transitions.due import any_suspect
from django_jobs.transitions.rescuing import beat
from django_jobs.transports import get_transport
from django_jobs.worker.births import Child
from django_jobs.worker.connections import close_connections, use_own_connection
from django_jobs.worker.crew import Crew
from django_jobs.worker.orphans import reap_orphans
from django_jobs.worker.plan import Plan
from django_jobs.worker.reloading import FileWatch
from django_jobs.worker.standing import Listener, Standing
from django_jobs.worker.titles import set_title
from django_jobs.worker.watch import QueueWatch

logger = logging.getLogger("django_jobs")

# So often at least it looks at its children, and sooner while one comes or goes.
LOOK_SECONDS, SOON_SECONDS = 1.0, 0.1
# Terminals and process managers send a signal twice; only one that comes later means "now".
SECOND_SIGNAL_SECONDS = 2.0
# A child that has not ended so long after its time does not hear: a body holds its interpreter, or the database it.
LONGEST_END_SECONDS = 30.0


class Supervisor:
    """Keeps `plan.processes` children alive until it is told to stop, or in a burst until their work is done."""

    def __init__(self, plan: Plan, listeners: Sequence[Listener] = ()) -> None:
        settings = get_settings()
        self.plan = plan
        self.crew = Crew(plan)
        self._listeners = listeners
        self.ended = self.failed = 0
        self._using = settings.DATABASE
        self._every, self._dead_after = settings.HEARTBEAT_SECONDS, settings.DEAD_AFTER_SECONDS
        self._watch = QueueWatch(self._using, plan.queue_names)
        self._files = FileWatch() if plan.autoreload else None
        self._to_bury: list[Child] = []
        self._stop_asked_at: float | None = None
        self._kill_at = math.inf
        # What a signal has asked for and the database has not heard of yet.
        self._quiet_asked: bool | None = None
        self._next_beat = 0.0
        self._database_is_away = False
        self._last_good_beat = clock.monotonic()
        # A newcomer does not know whether the database was away until now: the others get the time to beat first.
        self._no_judging_until = clock.monotonic() + 2 * self._every

    def run(self) -> None:
        """Start, watch and end the children. Must run in the main thread, for it handles the signals."""
        use_own_connection(self._using)
        set_title(f"supervisor: {', '.join(self.plan.queue_names) or 'all queues'}")
        reading, writing = os.pipe()
        for descriptor in (reading, writing):
            os.set_blocking(descriptor, False)
        before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        handlers = {each: signal.signal(each, self._on_signal) for each in self._signals()}
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
        self._to_bury += self.crew.take_the_gone(are_stopping=self._stop_asked_at is not None)
        reap_orphans({each.process.pid for each in self.crew.children})
        if self._stop_asked_at is None:
            self.crew.start_missing()
            self._reload_if_changed()
        else:
            self._tell_children_to_stop()
        self._tell_listeners()
        try:
            self._bury()
            self._pass_on_quiet()
            if clock.monotonic() >= self._next_beat:
                self._next_beat = clock.monotonic() + self._every
                self._beat()
            if self._is_over():
                return None
            self._database_is_away = False
        except AnyDatabaseError as error:
            self._complain(error)
            # Not only after a whole beat: until it is heard, nothing starts.
            self._next_beat = min(self._next_beat, clock.monotonic() + LOOK_SECONDS)
            if self._stop_asked_at is not None and not self.crew.children:
                return None  # the others take back what is left, when its owners have been silent for long enough
        soon = SOON_SECONDS if self._to_bury or self.crew.is_changing else LOOK_SECONDS
        return max(min(self._next_beat - clock.monotonic(), soon), 0.0)

    def ask_to_stop(self) -> None:
        """End the children in good order; asked again seconds later: at once."""
        now = clock.monotonic()
        if self._stop_asked_at is None:
            self._stop_asked_at = now
            self.crew.dismiss_all()
            for each in self.crew.children:
                each.board.stop()
            self._kill_at = now + self.plan.grace_seconds + LONGEST_END_SECONDS
            self._tell_children_to_stop()
        elif now - self._stop_asked_at >= SECOND_SIGNAL_SECONDS:
            self._kill_at = min(self._kill_at, now + LONGEST_END_SECONDS)
            for each in self.crew.children:
                each.board.hurry()

    def ask_to_restart(self) -> None:
        """Replace the children by fresh ones, which read the code as it is now; each ends when its relief is there."""
        if self._stop_asked_at is None:
            self.crew.relieve_all()

    def _tell_children_to_stop(self) -> None:
        """Told again in each round, for one may just have been on its way into the world."""
        is_late = clock.monotonic() > self._kill_at
        self.crew.signal(signal.SIGKILL if is_late else signal.SIGTERM)

    def _complain(self, error: AnyDatabaseError) -> None:
        if not self._database_is_away:
            logger.warning("The supervisor cannot beat for its workers: the database is away. %s", error)
        self._database_is_away = True
        close_connections()

    def _signals(self) -> list[int]:
        """Return those to hear. Who was started with nohup shall not hear of the end of the terminal."""
        heard = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2]
        return [*heard, *([signal.SIGHUP] if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN else [])]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        match number:
            case signal.SIGUSR1 | signal.SIGUSR2:
                self._quiet_asked = number == signal.SIGUSR1
            case signal.SIGHUP if not os.isatty(0):
                self.ask_to_restart()
            case _:  # a terminal that is closed is the end, too
                self.ask_to_stop()

    def _pass_on_quiet(self) -> None:
        """Write down what a signal has asked for, until all children have rows to read it from."""
        quiet = self._quiet_asked
        if quiet is None:
            return
        lives = [each.board.worker for each in self.crew.regulars]
        workers.set_quiet(self._using, [each for each in lives if each is not None], quiet=quiet)
        # Another signal may have come meanwhile.
        if None not in lives and not self.crew.is_changing and self._quiet_asked is quiet:
            self._quiet_asked = None

    def _tell_listeners(self) -> None:
        standing = Standing.of(
            self.crew.children,
            wanted=self.crew.wanted,
            last_beat=self._last_good_beat,
            is_stopping=self._stop_asked_at is not None,
            is_reloading=self.crew.is_reloading,
        )
        for listener in self._listeners:
            listener(standing)

    def _beat(self) -> None:
        """Beat for all children in one statement; one that is not alive any more is told to live anew."""
        living = {each.board.worker: each for each in self.crew.children if each.board.worker is not None}
        sent_at = clock.monotonic()
        alive = beat(self._using, [id for id in living if id is not None])
        now = clock.monotonic()
        if now - self._last_good_beat > self._dead_after / 2:
            # Others could not beat either, perhaps: for a while nobody here calls anybody dead.
            self._no_judging_until = now + self._dead_after
        self._last_good_beat = now
        for worker, each in living.items():
            if worker in alive:
                each.board.beat(sent_at, self._no_judging_until)
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
        if self._stop_asked_at is not None or not self.crew.may_start_for_suspects:
            return
        self._watch.refresh()
        if any_suspect(self._using, self._watch.open_queues()):
            self.crew.start_for_suspects()

    def _bury(self) -> None:
        """Take back what dead children had, at once: nobody knows better than the parent that they are gone."""
        for each in list(self._to_bury):
            self._take_back(each)
            self._to_bury.remove(each)
            self.ended += each.board.ended
            self.failed += each.board.failed
            each.close()

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
            if self.crew.wanted:
                return False
            self._start_for_suspects()
        return not self.crew.children and not self._to_bury

    def _reload_if_changed(self) -> None:
        """Restart the children on changed code. What they run ends first."""
        if self._files is None:
            return
        changed = self._files.changed()
        if changed is not None:
            logger.info("%s changed, the workers restart.", changed)
            self.crew.signal(signal.SIGTERM)

    def _end_all(self) -> None:
        """However `run` ends, no child stays behind."""
        for each in self.crew.children:
            each.signal(signal.SIGKILL)
            each.process.wait()
            each.close()


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 1024):
            pass
    except BlockingIOError:
        pass
