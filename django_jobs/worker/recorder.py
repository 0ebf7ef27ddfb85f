"""The recorder: writes outcomes down and claims what comes next, in one transaction after the other.

Outcomes gather while a transaction is under way and the next one takes them all: a group commit without a timer.
It is the only thread of a child that claims, so when it asks what its worker owns, no claim is on its way.
"""

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from uuid import UUID

from django.db import InterfaceError, OperationalError

from django_jobs import clock
from django_jobs.definitions.outcomes import Claim, Ended, GivenBack
from django_jobs.definitions.registry import get_spec
from django_jobs.execution.cancelling import hear
from django_jobs.lifecycle.dispatching import ring
from django_jobs.lifecycle.reporting import write_due
from django_jobs.lifecycle.rescuing import claims_in_hand, give_back_unknown
from django_jobs.lifecycle.settling import Settled, settle_and_claim
from django_jobs.states import State
from django_jobs.transitions.claiming import begin, claim_due, claim_ids, leftovers
from django_jobs.transitions.steering import asked_to_cancel
from django_jobs.transitions.transactions import in_transaction
from django_jobs.transports import Bell
from django_jobs.worker.batches import Batches
from django_jobs.worker.board import Board
from django_jobs.worker.connections import close_connections, use_own_connection
from django_jobs.worker.desk import Desk
from django_jobs.worker.incarnation import Incarnation
from django_jobs.worker.pools import Pools
from django_jobs.worker.service import Service
from django_jobs.worker.turns import Turns
from django_jobs.worker.watch import QueueWatch

logger = logging.getLogger("django_jobs")

# A taken id that could not be claimed is rung again after so long; one whose name nobody here knows, after longer.
SOON_SECONDS, UNKNOWN_SECONDS = 0.25, 2.0
# So long nothing started although claims wait: the bodies are slow, and others may be free.
STUCK_SECONDS = 1.0
# So long outcomes of rows that somebody has locked wait before they are tried again.
LOCKED_SECONDS = 0.05
# So often those who wait for their batch are looked through for some that are not wanted any more.
UNWANTED_SECONDS = 1.0
SHORTEST_RETRY, LONGEST_RETRY = 0.2, 5.0


class Recorder(Service):
    name = "recorder"

    def __init__(
        self,
        desk: Desk,
        pools: Pools,
        incarnation: Incarnation,
        watch: QueueWatch,
        board: Board,
        turns: Turns,
        *,
        suspects_only: bool,
        reconcile_seconds: float,
        on_room: Callable[[], None],
    ) -> None:
        super().__init__()
        self._desk, self._pools, self._incarnation, self._watch, self._board = desk, pools, incarnation, watch, board
        self._suspects_only, self._reconcile_seconds, self._on_room = suspects_only, reconcile_seconds, on_room
        self.batches = Batches(desk, alone=suspects_only)
        self._batched = [name for name in incarnation.names if get_spec(name).batch is not None]
        self._next_unwanted = 0.0
        self._turns, self._resting = turns, False
        self._again: deque[tuple[float, Bell]] = deque()
        self._next_reconcile = clock.monotonic() + reconcile_seconds
        self._retry = 0.0
        # When a look into the table last found nothing to start, with nothing in hand.
        self.dry = False

    def prepare(self) -> None:
        use_own_connection(self._incarnation.using)

    def finish(self) -> None:
        close_connections()

    def notice(self) -> None:
        """Wake the recorder if it rests; while it works it will see by itself."""
        if self._resting:
            self.wake()

    def step(self) -> float:
        self._board.tick()
        try:
            return self._work()
        except (OperationalError, InterfaceError) as error:
            return self._database_is_away(error)

    def _work(self) -> float:
        if self._board.is_declared_dead:
            self._live_again()
        self._give_back_stuck()
        self._do_what_is_due()
        if self._batched:
            self._begin_batches()
        ended = self._desk.take_ended()
        self._learn(ended)
        ids, look_for = self._desk.orders()
        if not (ended or ids or look_for):
            return self._rest()
        try:
            limit = self._desk.places()
            settled, claims = self._write(ended, ids, look_for, limit)
        except BaseException:
            self._desk.put_back_ended(ended)
            self._desk.put_back_orders(ids)
            raise
        self._database_answers()
        self._after(ended, settled, ids, claims, limit, bool(look_for))
        if ids and len(claims) < limit:
            self._desk.learn_yield(len(ids), len(claims))
        return LOCKED_SECONDS if settled.locked else 0.0

    def _write(self, ended: list[Ended], ids: list[UUID], look_for: int, limit: int) -> tuple[Settled, list[Claim]]:
        using, me, names, later = self._incarnation.using, self._incarnation.id, self._names(), self._batched

        def claim() -> list[Claim]:
            claims = []
            if not self._suspects_only and limit > 0:
                claims = claim_ids(using, me, ids, names, limit, begin_later=later)
            missing = min(look_for, limit) - len(claims)
            if missing > 0:
                queues, shares = self._turns.next(self._watch.open_queues(), missing)
                alone = self._suspects_only
                claims += claim_due(using, me, queues, missing, names, suspect=alone, shares=shares, begin_later=later)
            return self._turns.mixed(claims)

        if ids and not (ended or look_for):
            # So it is in an idle worker, where somebody waits for this one job.
            return Settled(), in_transaction(using, claim, alone=True)
        return settle_and_claim(using, ended, claim)

    def _names(self) -> list[str]:
        """Return the jobs that this worker can run now."""
        return self._pools.runnable(self._incarnation.names)

    def _after(
        self, ended: list[Ended], settled: Settled, ids: list[UUID], claims: list[Claim], limit: int, looked: bool
    ) -> None:
        self._desk.hold(claims)
        self._desk.drop(each.claim for each, _ in settled.written)
        self._desk.drop(each.claim for each in settled.fenced)
        self._desk.put_back_ended(settled.locked)
        self._pools.start(self._gather(claims) if self._batched else claims)
        self._count(settled)
        self.dry = looked and not claims and self._desk.is_empty()
        if looked or len(claims) < len(ids):
            claimed = {claim.id for claim in claims}
            self._ring_later([id for id in ids if id not in claimed], crowded=len(claims) >= limit)
        # Not after a look that found nothing: the fetcher would only ask for the same look again.
        if claims or ids:
            self._on_room()

    def _gather(self, claims: list[Claim]) -> list[Claim]:
        """Have members of batches wait for others; return the claims that need not."""
        members = [claim for claim in claims if claim.name in self._batched]
        plain = [claim for claim in claims if claim.name not in self._batched]
        now = clock.monotonic()
        for claim, outcome in self.batches.put(members):
            self._desk.put_ended(Ended(claim, outcome, now, now))
        over = min(self._desk.overflow(), len(plain))
        self._give_back(plain[len(plain) - over :])
        # As long as nothing else comes, more and more is asked for at once, until the batches are full.
        self._desk.be_eager(0 if plain else min(2 * len(members), self.batches.missing()))
        return plain[: len(plain) - over]

    def _begin_batches(self) -> None:
        """Begin what is complete or has waited long enough, with those of its members that may begin."""
        using, me = self._incarnation.using, self._incarnation.id
        if clock.monotonic() >= self._next_unwanted and not self.batches.is_empty:
            self._next_unwanted = clock.monotonic() + UNWANTED_SECONDS
            hear(asked_to_cancel(using, me))
            self._give_back(self.batches.withdraw_unwanted())
        while claims := self.batches.next_complete():
            try:
                begun = in_transaction(using, partial(begin, using, me, claims))
            except BaseException:
                self.batches.put_back(claims)
                raise
            members = [claim for claim in claims if (claim.id, claim.fence) in begun]
            self._give_back([claim for claim in claims if (claim.id, claim.fence) not in begun])
            if members:
                self._desk.end_ride(members[0])
                self._pools.start_together(members)
            if not self.batches.missing():
                self._desk.be_eager(0)

    def _give_back(self, claims: list[Claim]) -> None:
        now = clock.monotonic()
        for claim in claims:
            self._desk.put_ended(Ended(claim, GivenBack(), now, now))

    def _learn(self, ended: list[Ended]) -> None:
        """Learn how long bodies take, and have the fetcher fill their places while their outcomes are written."""
        # Those of a batch have one body.
        bodies = {(each.started, each.finished) for each in ended if each.finished > each.started}
        if bodies:
            self._desk.learn(sum(finished - started for started, finished in bodies), len(bodies))
        if ended:
            self._on_room()

    def _rest(self) -> float:
        """Rest; announce it first, and look once more, so that no outcome waits."""
        self._resting = True
        if self._desk.has_orders():
            self._resting = False
            return 0.0
        self._woken.wait(min(0.5, self._reconcile_seconds, self.batches.rest()))
        self._resting = False
        return 0.0

    def _do_what_is_due(self) -> None:
        now = clock.monotonic()
        due = []
        while self._again and self._again[0][0] <= now:
            due.append(self._again.popleft()[1])
        ring(due)
        write_due(self._incarnation.using)
        if now >= self._next_reconcile:
            self._next_reconcile = now + self._reconcile_seconds
            give_back_unknown(self._incarnation.using, self._incarnation.id, claims_in_hand(self._desk.claims()))
            self._database_answers()

    def _ring_later(self, ids: list[UUID], *, crowded: bool) -> None:
        """Look why taken ids were not claimed: what can still start is rung again, the rest has been settled.

        `crowded`: there was no place for more, so that is why, and what waits is to be taken in its turn again.
        """
        if not ids or self._suspects_only:
            return
        names = self._names()
        rows = in_transaction(self._incarnation.using, lambda: leftovers(self._incarnation.using, ids, names))
        now = clock.monotonic()
        if crowded:
            ring([Bell(row.id, row.queue_name, row.rank) for row in rows if row.startable and row.known])
        for row in rows:
            if row.startable and not (row.known and crowded):
                delay = SOON_SECONDS if row.known else UNKNOWN_SECONDS
                self._again.append((now + delay, Bell(row.id, row.queue_name, row.rank)))
        self._again = deque(sorted(self._again, key=lambda each: each[0]))

    def _give_back_stuck(self) -> None:
        stuck = self._pools.withdraw_if_stuck(STUCK_SECONDS)
        self._give_back(stuck)
        if stuck:
            self.batches.disappoint(claim for claim in stuck if claim.name in self._batched)
            self._desk.distrust()  # or the fetcher would fetch the same jobs again

    def _live_again(self) -> None:
        """This incarnation was declared dead: whoever is alive has its jobs. Begin anew; what still runs is fenced."""
        logger.warning("This worker was declared dead while it could not beat. It begins a new life.")
        self.batches.withdraw()
        self._pools.withdraw()
        self._desk.forget_all()
        self._incarnation.register()

    def _count(self, settled: Settled) -> None:
        desk = self._desk
        for each, row in settled.written:
            if not isinstance(each.outcome, GivenBack):
                desk.ended_count += 1
            if row.state == State.FAILED:
                desk.failed_count += 1
        self._board.count(desk.ended_count, desk.failed_count)

    def _database_answers(self) -> None:
        if self._retry:
            logger.warning("The database is back.")
            self._retry = 0.0

    def _database_is_away(self, error: Exception) -> float:
        if not self._retry:
            logger.warning("The database is away; outcomes are kept and nothing new starts. %s", error)
        self._retry = min(max(self._retry * 2, SHORTEST_RETRY), LONGEST_RETRY)
        close_connections()
        return self._retry
