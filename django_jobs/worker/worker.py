"""The worker: one child process. It puts the parts together, watches for the end, and ends in good order."""

import logging
import math
import queue
import threading
from contextlib import suppress
from uuid import UUID

from django_jobs import clock
from django_jobs.conf import get_settings
from django_jobs.definitions.outcomes import Claim, Ended, GivenBack
from django_jobs.errors import TransportError
from django_jobs.execution.execute import timed_out
from django_jobs.execution.timeouts import watch
from django_jobs.lifecycle.workers import Orders, Wish
from django_jobs.transports import Transport, close_transports, get_transport
from django_jobs.transports.database import DatabaseTransport
from django_jobs.worker import memory
from django_jobs.worker.board import Board
from django_jobs.worker.chores import Chores
from django_jobs.worker.connections import close_connections, use_own_connection
from django_jobs.worker.desk import Desk
from django_jobs.worker.fetcher import Fetcher
from django_jobs.worker.incarnation import Incarnation
from django_jobs.worker.plan import Plan
from django_jobs.worker.pools import Pools
from django_jobs.worker.recorder import Recorder
from django_jobs.worker.titles import set_title
from django_jobs.worker.watch import QueueWatch

logger = logging.getLogger("django_jobs")

# So often in a row the table must have had nothing to start before a burst is over.
DRY_LOOKS = 2
# A process is used for so long at least: to load the next one costs more than it spares.
LEAST_LIFE_SECONDS = 5.0
# How long an ending worker goes on trying to write outcomes down.
LAST_WRITE_SECONDS = 10.0


class Worker:
    """Runs jobs in this process until it is told to stop, or in a burst until there are none."""

    def __init__(self, plan: Plan, board: Board) -> None:
        self.plan = plan
        # A signal handler puts into it, and may interrupt this very thread anywhere: inside of an Event's lock, say.
        self._stop_asked: queue.SimpleQueue[None] = queue.SimpleQueue()
        settings = get_settings()
        using = settings.DATABASE
        # Suspects are not rung: whoever starts them looks into the table.
        self._transport: Transport = DatabaseTransport() if plan.suspects_only else get_transport()
        self.desk = Desk(plan.concurrency, plan.concurrency) if plan.suspects_only else Desk(plan.concurrency)
        self.watch = QueueWatch(using, plan.queue_names)
        self.incarnation = Incarnation(using, board, plan.queue_names, plan.concurrency, quiet=plan.quiet)
        self.desk.may_claim = self.incarnation.is_heard
        self.pools = Pools(plan.concurrency, board, self.desk.put_ended, self.incarnation.holds)
        self.recorder = Recorder(
            self.desk,
            self.pools,
            self.incarnation,
            self.watch,
            board,
            plan.new_turns(),
            suspects_only=plan.suspects_only,
            reconcile_seconds=settings.HEARTBEAT_SECONDS,
            on_room=lambda: self.fetcher.wake(),
        )
        self.desk.on_ended = self.recorder.notice
        self._board = board
        # It may take its time to end: it only makes room for a fresh process.
        self._is_used_up = False
        self._ages_at = clock.monotonic() + LEAST_LIFE_SECONDS
        self._most_megabytes = plan.recycle_after_megabytes
        # Jobs whose bodies go on although their time was up long ago.
        self._stuck: set[UUID] = set()

    @property
    def is_recycled(self) -> bool:
        """Whether this process ends although there may be work, so that another is to take its place."""
        return bool(self._stuck) or self._board.wants_relief

    def run(self) -> None:
        """Work until the end. Called in the main thread, which only waits."""
        use_own_connection(self.incarnation.using)
        self.watch.refresh()
        self.incarnation.register()
        close_connections()  # the other threads have their own
        self._obey(self.incarnation.orders)
        self.fetcher = Fetcher(
            self._transport,
            self.desk,
            self.incarnation,
            self.watch,
            self.plan.new_turns(),
            on_offer=self.recorder.notice,
        )
        self.chores = Chores(
            self._transport,
            self.incarnation,
            self.watch,
            self._board,
            obey=self.hear,
            sandboxes=self.pools.sandboxes.told,
        )
        watch.on_stuck = self._recycle
        self._weigh_itself()
        services = (self.recorder, self.fetcher, self.chores)
        for service in services:
            service.start()
        dry = 0
        while not self._is_stop_asked(0.05 if self.plan.burst else 0.5):
            if self.plan.burst:
                dry = self._count_dry(dry)
                # What came into hand at the last moment is run: the others may have looked already, and found nothing.
                if dry >= DRY_LOOKS and self.desk.close_if_empty():
                    break
            self._look_at_itself()
        self._end()

    def ask_to_stop(self) -> None:
        """End in good order. Asking again changes nothing; the board says when to hurry."""
        self._stop_asked.put(None)

    def hear(self, orders: Orders) -> None:
        """Do what people ask of this worker. Called by the chores about every second."""
        self._obey(orders)
        match orders.asked_to:
            case Wish.STOP:
                self._is_used_up = False
                self._board.dismiss()
                self.ask_to_stop()
            case Wish.RESTART:
                self._board.ask_for_relief()

    def _obey(self, orders: Orders) -> None:
        if orders.concurrency != self.desk.concurrency:
            logger.info("This worker runs %s jobs at once from now on.", orders.concurrency)
            self.desk.concurrency = orders.concurrency
            self.pools.resize(orders.concurrency)
        if orders.quiet != self.desk.is_quiet:
            logger.info("This worker takes nothing new." if orders.quiet else "This worker takes jobs again.")
            self.desk.is_quiet = orders.quiet
        self._board.obey(orders.concurrency, orders.quiet)
        running = f"{len(self._board.running())} of {orders.concurrency} jobs"
        set_title(f"worker: {', '.join(self.plan.queue_names) or 'all queues'}, {running}{', quiet' * orders.quiet}")

    def _weigh_itself(self) -> None:
        """A limit that is reached before the first job would replace process by process for ever."""
        most, held = self._most_megabytes, memory.megabytes()
        if most is not None and held >= most:
            logger.error(
                "A worker holds %.0f MB before its first job, so that it cannot be replaced after %s MB, and is not. "
                "Raise --recycle-after-megabytes.",
                held,
                most,
            )
            self._most_megabytes = None

    def _look_at_itself(self) -> None:
        """Ask for a fresh process in its place after so many jobs, or when it holds so much memory."""
        jobs, megabytes = self.plan.recycle_after_jobs, self._most_megabytes
        if self._is_used_up or (jobs is None and megabytes is None) or clock.monotonic() < self._ages_at:
            return
        if jobs is not None and self.desk.ended_count >= jobs:
            why = f"it has run {self.desk.ended_count:,} jobs"
        elif megabytes is not None and (held := memory.megabytes()) >= megabytes:
            why = f"it holds {held:,.0f} MB"
        else:
            return
        logger.info("Another worker is to take the place of this one: %s.", why)
        self._is_used_up = True
        self._board.ask_for_relief()

    def _recycle(self, claim: Claim) -> None:
        """A thread cannot be ended, but a process can: end in good order, and another takes its place."""
        logger.error("This worker ends because of job %s (%s); another takes its place.", claim.id, claim.name)
        self._stuck.add(claim.id)
        self.ask_to_stop()

    def _is_stop_asked(self, seconds: float) -> bool:
        """Wait for it, for so long."""
        try:
            self._stop_asked.get(timeout=seconds)
        except queue.Empty:
            return False
        return True

    def _count_dry(self, dry: int) -> int:
        """Count looks into the table that found nothing while nothing is in hand; ask for the next."""
        if self.recorder.dry:
            dry += 1
            self.recorder.dry = False
        elif self.desk.claims():
            dry = 0
        if dry < DRY_LOOKS and self.desk.is_empty():
            self.desk.ask_for_look(self.desk.concurrency)
            self.recorder.notice()
        return dry

    def _end(self) -> None:
        """Take nothing more, hand back what has not begun, let the rest finish, hand back what does not."""
        self.fetcher.stop()
        self.desk.close()
        began = clock.monotonic()
        waiter = threading.Event()
        while self._is_busy() and clock.monotonic() < self._deadline(began) and not self._board.is_hurried:
            # Again and again: a claim may have been on its way.
            self._give_back([*self.recorder.batches.withdraw(), *self.pools.withdraw()], begun=False)
            waiter.wait(0.02)
        self.pools.cut_off()
        self._give_back_running()
        self._write_last()
        self.chores.stop()
        self.recorder.stop()
        self.fetcher.join(2.5)
        self.recorder.join(2.5)
        self.chores.join(2.5)
        self._leave()

    def _deadline(self, began: float) -> float:
        """Return until when what runs may finish: for as long as it takes, where only a fresh process is wanted."""
        if self._is_used_up:
            began = self._board.stop_asked_at or math.inf
        return began + self.plan.grace_seconds

    def _is_busy(self) -> bool:
        if self._stuck:  # they are not waited for
            return bool(self._board.running().keys() - self._stuck or self.desk.ended)
        return bool(self._board.running()) or not self.desk.is_empty()

    def _give_back_running(self) -> None:
        """The time is over: jobs that still run start elsewhere, and what their bodies still do here is fenced.

        Those whose own time is up have failed.
        """
        ended = {each.claim.id for each in list(self.desk.ended)}
        running = self._board.running()
        left = [each for each in self.desk.claims() if each.id in running and each.id not in ended]
        overdue, now = watch.overdue(), clock.monotonic()
        for claim in [each for each in left if (each.id, each.fence) in overdue]:
            self.desk.put_ended(Ended(claim, timed_out(claim), running[claim.id], now))
        self._give_back([each for each in left if (each.id, each.fence) not in overdue], begun=True)

    def _give_back(self, claims: list[Claim], begun: bool) -> None:
        now = clock.monotonic()
        for claim in claims:
            self.desk.put_ended(Ended(claim, GivenBack(begun), now, now))

    def _write_last(self) -> None:
        deadline = clock.monotonic() + LAST_WRITE_SECONDS
        waiter = threading.Event()
        while not self.desk.is_empty() and clock.monotonic() < deadline:
            self.recorder.notice()
            waiter.wait(0.01)

    def _leave(self) -> None:
        with suppress(TransportError):  # the sweep rings what was taken and not claimed
            self._transport.put_back(self.incarnation.id)
        try:
            use_own_connection(self.incarnation.using)
            if self.desk.is_empty():
                self.incarnation.say_goodbye()
                self._board.leave()
        except Exception:
            logger.exception("This worker could not say goodbye; it will count as dead in a while.")
        self.pools.stop()
        close_connections()
        close_transports()
