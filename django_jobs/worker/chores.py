"""Chores: what one of the workers does for all, every few seconds."""

import logging
import random
from collections.abc import Callable, Iterator
from uuid import UUID

from django.db import InterfaceError, OperationalError

from django_jobs import clock
from django_jobs.conf import get_settings
from django_jobs.definitions.queues import ageing
from django_jobs.errors import TransportError
from django_jobs.execution.cancelling import hear
from django_jobs.lifecycle.ageing import age_queue
from django_jobs.lifecycle.deduplicating import settle_overdue_keys
from django_jobs.lifecycle.expiring import expire_jobs
from django_jobs.lifecycle.rescuing import judge, rescue_orphans
from django_jobs.lifecycle.sweeping import sweep, sweep_fresh
from django_jobs.lifecycle.workers import Orders, tell_sandboxes
from django_jobs.transitions.chores import claim_chore
from django_jobs.transitions.steering import asked_to_cancel
from django_jobs.transports import Transport
from django_jobs.worker.board import Board
from django_jobs.worker.connections import close_connections, use_own_connection
from django_jobs.worker.incarnation import Incarnation
from django_jobs.worker.pruning import Pruner
from django_jobs.worker.service import Service
from django_jobs.worker.watch import QueueWatch

logger = logging.getLogger("django_jobs")

FRESH_SECONDS = 2.0
# Between two pages of jobs that age.
AGEING_PAGE_SECONDS = 0.1
EXPIRE_SECONDS = 1.0
# The full sweep goes at this pace when nothing is known to be lost, and begins again after a pause.
FULL_PAGE_SECONDS, FULL_PAUSE_SECONDS = 1.0, 60.0
# Every so often keys that were left unsettled are looked for.
KEYS_SECONDS = 10.0
# Who takes up a long chore holds it for so long and renews that with each step.
LEASE_SECONDS = 15.0


class Chores(Service):
    name = "chores"

    def __init__(
        self,
        transport: Transport,
        incarnation: Incarnation,
        watch: QueueWatch,
        board: Board,
        *,
        obey: Callable[[Orders], None] = lambda orders: None,
        sandboxes: Callable[[], list[dict[str, object]]] = list,
    ) -> None:
        super().__init__()
        self._obey, self._sandboxes = obey, sandboxes
        self._transport, self._incarnation, self._watch, self._board = transport, incarnation, watch, board
        self._next = dict.fromkeys(
            ("look around", "sandboxes", "rescue", "settle keys", "ageing", "expire", "prune"), 0.0
        )
        if transport.hands_out:
            self._next |= {"fresh sweep": 0.0, "full sweep": clock.monotonic() + FULL_PAUSE_SECONDS * random.random()}
        self._pages: Iterator[int] | None = None
        self._ageing: Iterator[int] = iter(())
        self._pruner = Pruner(incarnation.using)
        self._suspected: set[UUID] = set()
        # Under which incarnation what was told of the sandboxes; a new row tells of none.
        self._told: tuple[UUID, list[dict[str, object]]] = (incarnation.id, [])

    def prepare(self) -> None:
        use_own_connection(self._incarnation.using)

    def finish(self) -> None:
        close_connections()

    def step(self) -> float:
        try:
            self._look_around()
            self._tell_sandboxes()
            self._rescue()
            self._age()
            self._expire()
            self._prune()
            self._settle_keys()
            if self._transport.hands_out:
                self._ring_again()
        except TransportError:
            self._pages = None
            return 1.0  # the fetcher has said it, and works from the table
        except (OperationalError, InterfaceError):
            self._pages = None
            self._pruner.abandon()
            close_connections()
            return 1.0  # the recorder has said it
        return max(0.05, min(self._next.values()) - clock.monotonic())

    def _look_around(self) -> None:
        if self._is_time("look around", 1.0):
            self._watch.refresh()
            self._incarnation.synchronize()
            self._obey(self._incarnation.ask_for_orders())
            self._hear_of_cancels()

    def _tell_sandboxes(self) -> None:
        """Write down what the sandboxes do, as often as the worker beats, and only if it is new."""
        if self._is_time("sandboxes", get_settings().HEARTBEAT_SECONDS):
            told = self._incarnation.id, self._sandboxes()
            if told != self._told:
                tell_sandboxes(self._incarnation.using, *told)
                self._told = told

    def _hear_of_cancels(self) -> None:
        """Bodies that run here learn within about a second that they were asked to stop."""
        if self._board.running():
            hear(asked_to_cancel(self._incarnation.using, self._incarnation.id))

    def _ring_again(self) -> None:
        using = self._incarnation.using
        if self._transport.is_flushed() and claim_chore(using, "ring all", LEASE_SECONDS):
            self._ring_all()
        if self._is_time("fresh sweep", FRESH_SECONDS) and claim_chore(using, "fresh sweep", FRESH_SECONDS):
            sweep_fresh(using)
        if self._is_time("full sweep", FULL_PAGE_SECONDS):
            self._sweep_one_page()

    def _ring_all(self) -> None:
        """The transport lost its memory: ring the whole table at once, then open it."""
        count = 0
        using = self._incarnation.using
        try:
            for rung in sweep(using):
                count += rung
                claim_chore(using, "ring all", LEASE_SECONDS, renew=True)
            self._transport.open()
        finally:
            # It may be lost again in the next moment, or be gone in the middle: nobody shall wait for the lease then.
            claim_chore(using, "ring all", 0, renew=True)
        logger.info("The transport was empty; %s jobs were rung again.", count)

    def _sweep_one_page(self) -> None:
        """Go on with the full sweep, or begin it if it is time and nobody else is at it."""
        using = self._incarnation.using
        if self._pages is None:
            if not claim_chore(using, "full sweep", LEASE_SECONDS):
                self._next["full sweep"] = clock.monotonic() + LEASE_SECONDS
                return
            self._pages = sweep(using)
        if next(self._pages, None) is None:
            self._pages = None
            claim_chore(using, "full sweep", FULL_PAUSE_SECONDS, renew=True)
            self._next["full sweep"] = clock.monotonic() + FULL_PAUSE_SECONDS
        else:
            claim_chore(using, "full sweep", LEASE_SECONDS, renew=True)

    def _prune(self) -> None:
        if clock.monotonic() >= self._next["prune"]:
            rest = self._pruner.step()
            self._next["prune"] = clock.monotonic() + rest

    def _rescue(self) -> None:
        settings = get_settings()
        using, every = self._incarnation.using, settings.HEARTBEAT_SECONDS
        if not (self._is_time("rescue", every) and self._may_judge(settings.DEAD_AFTER_SECONDS)):
            return
        if not claim_chore(using, "rescue", every):
            return
        me = self._incarnation.id
        dead, self._suspected = judge(using, settings.DEAD_AFTER_SECONDS, self._suspected, me=me)
        count = rescue_orphans(using)
        if count:
            logger.warning("%s jobs of dead workers were taken back.", count)
        if self._transport.hands_out:
            for worker in dead:
                self._transport.put_back(worker)

    def _age(self) -> None:
        """Go on with the jobs that rise, a page at a time, or see whether a queue's time has come."""
        if not self._is_time("ageing", AGEING_PAGE_SECONDS) or next(self._ageing, None) is not None:
            return
        using, settings = self._incarnation.using, get_settings()
        for queue_name in self._watch.all_queues():
            every = ageing(settings, queue_name)
            if every is not None and claim_chore(using, f"age {queue_name}", every):
                self._ageing = age_queue(using, queue_name, every)
                return
        self._next["ageing"] = clock.monotonic() + 1.0

    def _expire(self) -> None:
        using = self._incarnation.using
        if self._is_time("expire", EXPIRE_SECONDS) and claim_chore(using, "expire", EXPIRE_SECONDS):
            expire_jobs(using)

    def _settle_keys(self) -> None:
        """The net for deduplication keys whose producer could not settle them after its commit."""
        using = self._incarnation.using
        if self._is_time("settle keys", KEYS_SECONDS) and claim_chore(using, "settle keys", KEYS_SECONDS):
            settle_overdue_keys(using)

    def _may_judge(self, dead_after: float) -> bool:
        """Who could not beat itself calls nobody else dead: perhaps it is the database that was away."""
        now = clock.monotonic()
        return now - self._board.last_beat < dead_after / 2 and now >= self._board.no_judging_until

    def _is_time(self, chore: str, every: float) -> bool:
        now = clock.monotonic()
        if now < self._next[chore]:
            return False
        self._next[chore] = now + every * random.uniform(0.9, 1.1)
        return True
