"""The bell in Redis: sorted sets that are always in order, and one script that hands out."""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, ClassVar, TypeAlias
from uuid import UUID, uuid4

from redis import Redis
from redis.utils import str_if_bytes

from django_jobs import clock
from django_jobs.conf import SETTING
from django_jobs.definitions.rank import BAND_SIZE, BANDS, TICKS_PER_SECOND, ticks
from django_jobs.errors import TransportError
from django_jobs.transports.base import Bell, ServerFacts, Taken, Transport
from django_jobs.transports.redis import scripts
from django_jobs.transports.redis.addresses import connect
from django_jobs.transports.redis.connection import HURRIED, PATIENT, Answer, Patience
from django_jobs.transports.redis.keys import Keys

# One command shall not keep a server from everybody else for more than about a millisecond.
MOST_A_RING = 1_000
MOST_A_TAKE = 1_000
ID_BYTES = 16
# The table is the truth: nobody needs the answer of a taker that has been silent for longer.
KEEP_ANSWER_SECONDS = 3600
# Shorter than the patience for an answer; and old servers take 0.0001 for 0, which means for ever.
LONGEST_BLOCK_SECONDS, SHORTEST_BLOCK_SECONDS = 1.0, 0.01
# After a failure producers do not even try for this long, or each of them would wait for the same server.
BREAK_SECONDS = 1.0

# The queue and the rank of ids that are rung one after the other, and these as bytes.
Run: TypeAlias = tuple[str, int, bytes]


class RedisTransport(Transport):
    name: ClassVar[str] = "redis"

    def __init__(self, address: str, prefix: str) -> None:
        """Prepare for `address`. Connects to nothing. Raises ConfigurationError."""
        self._keys = Keys(prefix)
        self._server = connect(address, self._keys.epoch)
        self._own_wake = self._keys.process_wake(uuid4())
        self._broken_until = float("-inf")

    def announce(self, bells: Sequence[Bell]) -> None:
        if clock.monotonic() < self._broken_until:
            raise TransportError(
                f"{self._server.name} failed less than {BREAK_SECONDS:g} s ago and was not tried again yet. "
                "The jobs are safe in the database and will be announced from there."
            )
        try:
            for start in range(0, len(bells), MOST_A_RING):
                some = groupby(bells[start : start + MOST_A_RING], attrgetter("queue_name", "rank"))
                runs = [(name, rank, b"".join([bell.id.bytes for bell in run])) for (name, rank), run in some]
                self._ring(runs, HURRIED)
        except TransportError:
            self._broken_until = clock.monotonic() + BREAK_SECONDS
            raise

    def take(
        self,
        taker: UUID,
        queue_names: Sequence[str],
        limit: int,
        now: datetime,
        batch: int,
        shares: Sequence[int] = (),
    ) -> Taken | None:
        names = list(dict.fromkeys(queue_names))
        keys = [self._keys.epoch, self._keys.batch(taker)]
        for name in names:
            keys += (self._keys.queue(name), self._keys.wake(name))
        limit = max(0, min(limit, MOST_A_TAKE))
        arguments: list[int | str | bytes] = [
            ticks(now),
            limit,
            batch,
            KEEP_ANSWER_SECONDS,
            BAND_SIZE,
            BANDS * BAND_SIZE - 1,
        ]
        for name, share in zip(names, shares or [limit] * len(names), strict=True):
            arguments += (name, share)
        reply = self._ask(lambda client: scripts.run(client, "take", keys, arguments), keys)
        if reply is None:
            return Taken(flushed=True)
        rest, ids = reply
        return Taken(tuple(UUID(bytes=each) for each in ids), None if rest is None else rest / TICKS_PER_SECOND)

    def wait(self, queue_names: Sequence[str], seconds: float) -> None:
        keys = [self._own_wake, *map(self._keys.wake, queue_names)]
        while seconds > 0 and not self._was_woken(keys, min(seconds, LONGEST_BLOCK_SECONDS)):
            seconds -= LONGEST_BLOCK_SECONDS

    def wake(self) -> None:
        def act(client: Redis) -> None:
            pipeline = client.pipeline(transaction=False)
            # Exactly one marker, however many were left before; a process that is gone leaves nothing behind.
            pipeline.lpush(self._own_wake, 1)
            pipeline.ltrim(self._own_wake, 0, 0)
            pipeline.expire(self._own_wake, 60)
            pipeline.execute()

        self._ask(act, [self._own_wake])

    def put_back(self, taker: UUID) -> None:
        key = self._keys.batch(taker)
        stored: list[Any] = self._ask(lambda client: client.lrange(key, 1, -1), [key])
        runs = [
            (name.decode(errors="replace"), int(rank), id_bytes)
            for name, id_bytes, rank in zip(stored[::3], stored[1::3], stored[2::3], strict=False)
            if len(id_bytes) == ID_BYTES and rank.isdigit()
        ]
        if runs:
            # Who rang again in the meantime knows the rank better.
            self._ring(runs, PATIENT, only_new=True)
        self._ask(lambda client: client.delete(key))

    def forget(self, queue_name: str) -> None:
        keys = [self._keys.queue(queue_name), self._keys.wake(queue_name)]
        # UNLINK: the server frees a large set later, on the side.
        self._ask(lambda client: client.unlink(*keys))

    def is_flushed(self) -> bool:
        return not self._ask(lambda client: client.exists(self._keys.epoch))

    def open(self) -> None:
        self._ask(lambda client: client.set(self._keys.epoch, clock.now().isoformat()))

    def describe(self) -> str:
        return self._server.describe()

    def facts(self) -> ServerFacts:
        return self._server.facts()

    def close(self) -> None:
        self._server.close()

    def _was_woken(self, keys: list[str], seconds: float) -> bool:
        seconds = max(seconds, SHORTEST_BLOCK_SECONDS)
        return self._ask(lambda client: client.blpop(keys, timeout=seconds), keys) is not None

    def _ring(self, runs: Sequence[Run], patience: Patience, only_new: bool = False) -> None:
        """Add up to 1,000 ids in this order and wake one worker for each queue, in one round trip."""
        numbers = {name: number for number, name in enumerate(dict.fromkeys(name for name, _, _ in runs), 1)}
        keys = [key for name in numbers for key in (self._keys.queue(name), self._keys.wake(name))]
        arguments: list[int | str | bytes] = [int(only_new)]
        for name, rank, ids in runs:
            arguments += (numbers[name], rank, ids)
        self._ask(lambda client: scripts.run(client, "ring", keys, arguments), keys, patience)

    def _ask(self, act: Callable[[Redis], Answer], keys: Sequence[str] = (), patience: Patience = PATIENT) -> Answer:
        """Let the server act; where one of `keys` holds what is not ours, say which."""
        try:
            return self._server.ask(act, patience)
        except TransportError as error:
            if "WRONGTYPE" not in str(error):
                raise
            raise TransportError(f"{error} {self._foreign(keys)}") from error

    def _foreign(self, keys: Sequence[str]) -> str:
        kinds = self._server.ask(lambda client: [str_if_bytes(client.type(key)) for key in keys])
        wrong = [
            f"The key {key!r} holds a {kind} where a {self._keys.holds(key)} belongs."
            for key, kind in zip(keys, kinds, strict=True)
            if kind not in ("none", self._keys.holds(key))
        ]
        return " ".join((*wrong, f"Delete it, or set {SETTING}['PREFIX'] to one that nobody else uses."))
