"""The bell inside one process, for tests and for a server that runs its jobs itself. Means the same as in Redis."""

import threading
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from operator import itemgetter
from typing import ClassVar
from uuid import UUID

from django_jobs.definitions.rank import BAND_SIZE, TICKS_PER_SECOND, due_at, due_range, ticks
from django_jobs.transports.base import Bell, Taken, Transport


class MemoryTransport(Transport):
    name: ClassVar[str] = "memory"

    def __init__(self) -> None:
        self._queues: defaultdict[str, _Queue] = defaultdict(_Queue)
        # Taker -> number and bells of the last answer.
        self._answers: dict[UUID, tuple[int, list[Bell]]] = {}
        # Queues that somebody should look into.
        self._marked: set[str] = set()
        self._woken = False
        # Guards everything, and tells waiters about marks.
        self._changed = threading.Condition()

    def announce(self, bells: Sequence[Bell]) -> None:
        with self._changed:
            for bell in bells:
                self._queues[bell.queue_name].put(bell.rank, bell.id)
            self._mark({bell.queue_name for bell in bells})

    def take(
        self,
        taker: UUID,
        queue_names: Sequence[str],
        limit: int,
        now: datetime,
        batch: int,
        shares: Sequence[int] = (),
    ) -> Taken | None:
        with self._changed:
            number, bells = self._answers.get(taker, (0, []))
            if number != batch + 1 or not bells:
                bells = []
                for name, most in (*zip(queue_names, shares), *((name, limit) for name in queue_names)):  # noqa: B905
                    due = self._queues[name].pop_due(now, min(most, limit - len(bells)))
                    bells += [Bell(id_, name, rank) for rank, id_ in due]
                self._answers[taker] = batch + 1, bells
            rests = {name: self._queues[name].rest(now) for name in queue_names}
            # Another idle worker shall see what is left.
            self._mark({name for name, rest in rests.items() if rest == 0})
        known = [rest for rest in rests.values() if rest is not None]
        return Taken(tuple(bell.id for bell in bells), min(known, default=None))

    def wait(self, queue_names: Sequence[str], seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._woken or not self._marked.isdisjoint(queue_names), seconds)
            if self._woken:
                self._woken = False
            elif marked := self._marked.intersection(queue_names):
                # One marker wakes one waiter, as in Redis.
                self._marked.remove(marked.pop())

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def put_back(self, taker: UUID) -> None:
        with self._changed:
            _, bells = self._answers.pop(taker, (0, []))
            for bell in bells:
                # Who rang again in the meantime knows the rank better.
                if bell.id not in self._queues[bell.queue_name]:
                    self._queues[bell.queue_name].put(bell.rank, bell.id)
            self._mark({bell.queue_name for bell in bells})

    def forget(self, queue_name: str) -> None:
        with self._changed:
            self._queues.pop(queue_name, None)
            self._marked.discard(queue_name)

    def describe(self) -> str:
        return "memory (heard in this process only)"

    def _mark(self, queue_names: set[str]) -> None:
        self._marked |= queue_names
        self._changed.notify_all()


class _Queue:
    """Ids in order of rank, each once."""

    def __init__(self) -> None:
        self._line: list[tuple[int, UUID]] = []
        self._ranks: dict[UUID, int] = {}

    def __contains__(self, id_: UUID) -> bool:
        return id_ in self._ranks

    def put(self, rank: int, id_: UUID) -> None:
        before = self._ranks.get(id_)
        if before == rank:
            return
        if before is not None:
            del self._line[bisect_left(self._line, (before, id_))]
        insort(self._line, (rank, id_))
        self._ranks[id_] = rank

    def pop_due(self, now: datetime, limit: int) -> list[tuple[int, UUID]]:
        due: list[tuple[int, UUID]] = []
        for _, start, stop in self._bands(now):
            stop = min(stop, start + max(limit - len(due), 0))
            due += self._line[start:stop]
            del self._line[start:stop]
        for _, id_ in due:
            del self._ranks[id_]
        return due

    def rest(self, now: datetime) -> float | None:
        """Return the seconds until something is due, 0 when it is already, None when nothing is here."""
        times = []
        for band, start, stop in self._bands(now):
            if start < stop:
                return 0.0
            # Time runs upwards in one kind of band and downwards in the other.
            for position in (start - 1, stop):
                if 0 <= position < len(self._line) and self._line[position][0] // BAND_SIZE == band:
                    times.append(due_at(self._line[position][0]))
        return (ticks(min(times)) - ticks(now)) / TICKS_PER_SECOND if times else None

    def _bands(self, now: datetime) -> Iterator[tuple[int, int, int]]:
        """Yield each band that holds something, with the slice of the line that is due."""
        low = 0
        while (position := self._position(low)) < len(self._line):
            band = self._line[position][0] // BAND_SIZE
            first, last = due_range(band, now)
            yield band, self._position(first), self._position(last + 1)
            low = (band + 1) * BAND_SIZE

    def _position(self, rank: int) -> int:
        return bisect_left(self._line, rank, key=itemgetter(0))
