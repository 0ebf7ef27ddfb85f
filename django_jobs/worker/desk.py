"""The desk: what one child has in hand, from the taken id to the written outcome. All its threads meet here."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from uuid import UUID

from django_jobs.definitions.outcomes import Claim, Ended

# Work in hand that is worth a round trip: more would only wait here while other workers are idle.
AHEAD_SECONDS = 0.2
# About as long as one transaction takes: so much work is claimed in it.
WRITE_SECONDS = 0.025
MOST_IN_HAND = 1500
# A third of it at once: as many can run meanwhile, and as many be written down.
MOST_CLAIMED = 500
MOST_TRIED = 500
# The least weight of the newest batch in the mean run time, and how many bodies count half.
LEAST_WEIGHT, HALF_WEIGHT_BODIES = 0.3, 10


class Desk:
    """Counts and holds what is taken, claimed, running and ended. Prefetch follows Little's law."""

    def __init__(self, concurrency: int, most_in_hand: int = MOST_IN_HAND) -> None:
        self.concurrency, self._most_in_hand = concurrency, most_in_hand
        self.ended: deque[Ended] = deque()
        self.on_ended: Callable[[], None] = lambda: None
        # Who may have been declared dead orders nothing: it could only go back.
        self.may_claim: Callable[[], bool] = lambda: True
        self.ended_count = 0
        self.failed_count = 0
        self._lock = threading.Lock()
        self._inbox: list[UUID] = []
        # By the number of the id: a UUID is hashed and compared in Python.
        self._claims: dict[int, Claim] = {}
        # Claims, as id and fence, that take no place of a body: they wait for a batch, or another of it has the place.
        self._riders: set[tuple[UUID, int]] = set()
        # How many more than there are places may be taken and claimed, for they are likely to ride.
        self._eager = 0
        # Unknown until the first jobs have run: then nothing is fetched ahead.
        self._mean_seconds: float | None = None
        self._look_for = 0
        self._tries = 0
        # Orders that were given out and whose claims are not in hand yet.
        self._on_order = 0
        self._being_written = 0
        self._is_closed = False
        # Nothing new is asked for; what is here already is run.
        self.is_quiet = False

    @property
    def capacity(self) -> int:
        """How many jobs may be in hand: those that can run at once, and more only if they are short."""
        return self._busy_for(AHEAD_SECONDS, self._most_in_hand)

    def room(self) -> int:
        """How many more ids can be taken now."""
        with self._lock:
            return (
                0
                if self.is_quiet or not self.may_claim()
                else self._limit() - self._on_order - len(self._inbox) - self._look_for
            )

    def places(self) -> int:
        """How many claims can be made now."""
        with self._lock:
            return self._limit()

    def overflow(self) -> int:
        """How many claims were made in vain, for they did not ride and there is no place for them."""
        with self._lock:
            return max(self._unfinished() - self.capacity, 0) if self._eager else 0

    def be_eager(self, count: int) -> None:
        """Let so many more be taken and claimed than there are places."""
        self._eager = min(count, MOST_TRIED)

    def let_ride(self, claim: Claim) -> None:
        """Say that a claim in hand takes no place of a body."""
        with self._lock:
            self._riders.add((claim.id, claim.fence))

    def end_ride(self, claim: Claim) -> None:
        """Say that it takes one, or none needs to be counted any more."""
        with self._lock:
            self._riders.discard((claim.id, claim.fence))

    def appetite(self) -> int:
        """How many ids to take now: the room, and more while most of what the transport hands out is stale.

        For a few places nobody asks the transport, while there is work in hand for longer than the answer takes.
        """
        room, capacity = self.room(), self.capacity
        least = 1 if capacity == self.concurrency else capacity // 4
        return max(room, self._tries) if room >= least else 0

    def learn_yield(self, taken: int, claimed: int) -> None:
        """Learn how many of the ids taken could be claimed: after a mass removal most are stale, for a while."""
        stale = claimed * 2 < taken
        self._tries = min(max(self._tries, taken) * 2, MOST_TRIED) if stale else 0

    def is_empty(self) -> bool:
        """Whether nothing is in hand at all, nor on its way."""
        with self._lock:
            return self._is_empty()

    def close_if_empty(self) -> bool:
        """Give out no orders from now on, unless something is in hand or on its way; tell whether it is so."""
        with self._lock:
            self._is_closed = self._is_closed or self._is_empty()
            return self._is_closed

    def close(self) -> None:
        """Give out no orders from now on."""
        with self._lock:
            self._is_closed = True
            self._inbox.clear()
            self._look_for = 0

    def offer(self, ids: Iterable[UUID]) -> None:
        """Put down ids that were taken and are to be claimed."""
        with self._lock:
            if not self._is_closed:
                self._inbox += [id for id in ids if id.int not in self._claims]

    def ask_for_look(self, limit: int) -> None:
        """Ask for a claim by query of up to `limit` jobs."""
        with self._lock:
            if not (self._is_closed or self.is_quiet):
                self._look_for = max(self._look_for, limit)

    def orders(self) -> tuple[list[UUID], int]:
        """Return what is to be claimed: the ids taken, and how many to look for. They are taken off the desk.

        Not all at once: a smaller transaction is over before the bodies of the one before it are.
        """
        with self._lock:
            if not self.may_claim():
                return [], 0
            most = self._busy_for(WRITE_SECONDS, min(MOST_CLAIMED, self._most_in_hand)) + self._eager
            ready = self._ready(most)
            ids, self._inbox = self._inbox[:ready], self._inbox[ready:]
            look_for, self._look_for = min(self._look_for, most), 0
            self._on_order = len(ids) + look_for
            return ids, look_for

    def has_orders(self) -> bool:
        return bool(self.ended or (self.may_claim() and (self._look_for or self._ready(MOST_IN_HAND))))

    def hold(self, claims: Iterable[Claim]) -> None:
        """Take claims in hand: the orders are carried out."""
        with self._lock:
            for claim in claims:
                self._claims[claim.id.int] = claim
            self._on_order = 0

    def put_ended(self, ended: Ended) -> None:
        """Put down an outcome; called by those who run bodies."""
        if self._riders:
            # Before that: counted for a moment too often it only keeps a place free.
            self.end_ride(ended.claim)
        self.ended.append(ended)
        self.on_ended()

    def take_ended(self) -> list[Ended]:
        """Return all outcomes that wait to be written."""
        ended = [self.ended.popleft() for _ in range(len(self.ended))]
        self._being_written = len(ended)
        return ended

    def put_back_ended(self, ended: Iterable[Ended]) -> None:
        """Keep outcomes that could not be written yet."""
        kept = list(ended)
        self.ended.extendleft(reversed(kept))
        self._being_written -= len(kept)

    def put_back_orders(self, ids: Iterable[UUID]) -> None:
        """Keep ids that could not be claimed yet. A look is asked for again by whoever wants it."""
        with self._lock:
            self._on_order = 0
        self.offer(ids)

    def drop(self, claims: Iterable[Claim]) -> None:
        """Let go of claims whose outcomes were taken and are now settled, or lost."""
        with self._lock:
            for claim in claims:
                self._being_written -= 1
                held = self._claims.pop(claim.id.int, None)
                if held is not None and held.fence != claim.fence:
                    self._claims[claim.id.int] = held

    def _is_empty(self) -> bool:
        return not (self._claims or self._on_order or self._inbox or self._look_for or self.ended)

    def _busy_for(self, seconds: float, most: int) -> int:
        """Count the jobs that keep all places busy for so long: as many as there are places, and more if short."""
        mean = self._mean_seconds
        if mean is None:
            return self.concurrency
        count = most if mean <= 0 else int(self.concurrency * seconds / mean)
        return max(self.concurrency, min(count, most))

    def _ready(self, most: int) -> int:
        """Count the ids to claim now. The rest waits for a place; but if bodies became slow, others shall have it.

        Slow is twice as slow: the mean always wanders a little, and all at once is a long transaction.
        """
        count, capacity = len(self._inbox), self.capacity
        return count if capacity == self.concurrency or count > 2 * capacity else min(count, most, self._limit())

    def _limit(self) -> int:
        """Count the claims that can be made: as many as there are places, and if there is any, more that may ride."""
        places = max(self.capacity - self._unfinished(), 0)
        return places + self._eager if places else 0

    def _unfinished(self) -> int:
        """Count the places of bodies that have not ended: an outcome that waits to be written takes none."""
        return max(len(self._claims) - len(self.ended) - self._being_written - len(self._riders), 0)

    def claims(self) -> list[Claim]:
        """Return all claims in hand, those that wait to be written included."""
        with self._lock:
            return list(self._claims.values())

    def learn(self, seconds: float, bodies: int) -> None:
        """Learn how long the last `bodies` bodies ran together."""
        mean = seconds / bodies
        weight = max(LEAST_WEIGHT, bodies / (bodies + HALF_WEIGHT_BODIES))
        before = self._mean_seconds
        self._mean_seconds = mean if before is None else before + weight * (mean - before)

    def distrust(self) -> None:
        """Fetch nothing ahead until bodies have shown again that they are short."""
        self._mean_seconds = max(self._mean_seconds or 0.0, AHEAD_SECONDS)

    def forget_all(self) -> None:
        """Let go of everything: this incarnation is dead, and others have its jobs."""
        with self._lock:
            self._inbox.clear()
            self._claims.clear()
            self._riders.clear()
            self._eager = 0
            self._look_for = 0
