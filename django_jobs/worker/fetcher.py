"""The fetcher: asks the transport what may start now, and waits for the bell while nothing may."""

import logging
import random
from collections.abc import Callable
from contextlib import suppress

from django_jobs import clock
from django_jobs.errors import TransportError
from django_jobs.transports import Taken, Transport
from django_jobs.worker.desk import Desk
from django_jobs.worker.incarnation import Incarnation
from django_jobs.worker.service import Service
from django_jobs.worker.turns import Turns
from django_jobs.worker.watch import QueueWatch

logger = logging.getLogger("django_jobs")

# An idle worker looks into the table this often, whatever the transport says.
LOOK_SECONDS = 5.0
WAIT_SECONDS = 2.0
MOST_TAKEN = 500
SHORTEST_RETRY, LONGEST_RETRY = 0.25, 5.0


class Fetcher(Service):
    """Takes as many ids as the desk has room for. Talks to the transport alone; the recorder talks to the database."""

    name = "fetcher"

    def __init__(
        self,
        transport: Transport,
        desk: Desk,
        incarnation: Incarnation,
        watch: QueueWatch,
        turns: Turns,
        *,
        on_offer: Callable[[], None],
    ) -> None:
        super().__init__()
        self._transport, self._desk, self._incarnation, self._watch = transport, desk, incarnation, watch
        self._turns, self._on_offer = turns, on_offer
        self._batch = 0
        self._taker = incarnation.id
        self._next_look = 0.0
        self._retry = self._try_at = 0.0

    def step(self) -> float:
        # Of more than there is room for only the first are claimed, and turns would be lost.
        most = self._turns.most
        room = min(self._desk.appetite(), MOST_TAKEN) if most is None else min(self._desk.room(), most)
        if room <= 0:
            return 1.0  # the recorder wakes as soon as there is room
        queue_names = self._watch.open_queues()
        if not queue_names:
            return 0.5
        if self._taker != self._incarnation.id:
            self._taker, self._batch = self._incarnation.id, 0
        if clock.monotonic() >= self._try_at:
            try:
                return self._fetch(queue_names, room)
            except TransportError as error:
                self._transport_is_away(error)
        self._look(room)
        return max(min(self._try_at - clock.monotonic(), self._transport.poll_seconds), 0.0)

    def stop(self) -> None:
        super().stop()
        with suppress(TransportError):  # then its wait ends by itself, within a second
            self._transport.wake()

    def _fetch(self, queue_names: list[str], room: int) -> float:
        queue_names, shares = self._turns.next(queue_names, room)
        now = self._incarnation.database_now()
        taken = self._transport.take(self._taker, queue_names, room, now, self._batch, shares)
        if self._retry:
            logger.warning("The transport is back.")
            self._retry = 0.0
        if taken is None or taken.flushed:
            self._look(room)
            # The recorder wakes it as soon as there is room again after a look that found something.
            return self._transport.poll_seconds * random.uniform(0.9, 1.1)
        self._batch += 1
        if taken.ids:
            self._desk.offer(taken.ids)
            self._on_offer()
        left = room - len(taken.ids)
        return self._wait(queue_names, left, taken) if left > 0 else 0.0

    def _wait(self, queue_names: list[str], room: int, taken: Taken) -> float:
        """Nothing is due: wait for the bell, but not past the next due time."""
        if clock.monotonic() >= self._next_look:
            self._next_look = clock.monotonic() + LOOK_SECONDS * random.uniform(0.8, 1.2)
            self._look(room)
        rest = WAIT_SECONDS if taken.rest is None else min(taken.rest, WAIT_SECONDS)
        if rest > 0:
            self._transport.wait(queue_names, rest)
        return 0.0

    def _transport_is_away(self, error: TransportError) -> None:
        if not self._retry:
            logger.warning("Working from the table until the transport is back. %s", error)
        self._retry = min(max(self._retry * 2, SHORTEST_RETRY), LONGEST_RETRY)
        # Until then it is not asked, however often there is room: each time it might only fail after seconds.
        self._try_at = clock.monotonic() + self._retry * random.uniform(0.8, 1.2)

    def _look(self, room: int) -> None:
        """Have the recorder look into the table itself."""
        self._desk.ask_for_look(room)
        self._on_offer()
