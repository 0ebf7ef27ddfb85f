"""What is due, and in which order: the Lua script, the transport in memory and a naive reference always agree."""

import random
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from django_jobs.definitions.rank import BAND_SIZE, BANDS, LAST_TICK, TICKS_PER_SECOND, due_at, due_range, rank, ticks
from django_jobs.testing.transports import NOW, Taker, bell, ids
from django_jobs.transports.base import Bell, Taken, Transport
from django_jobs.transports.memory import MemoryTransport

OPERATIONS = 3_000
QUEUES = ("one", "two", "three")


@pytest.fixture(params=["memory", "redis"])
def transport(request: pytest.FixtureRequest) -> Transport:
    return MemoryTransport() if request.param == "memory" else request.getfixturevalue("redis_transport")


@pytest.fixture
def dice() -> random.Random:
    seed = random.SystemRandom().randrange(2**32)
    print(f"The dice of this test: random.Random({seed}).")
    return random.Random(seed)


class Reference:
    """The meaning of a transport, without any thought of speed."""

    def __init__(self) -> None:
        self.ranks: dict[str, dict[UUID, int]] = {name: {} for name in QUEUES}
        self.answers: dict[UUID, list[tuple[str, UUID, int]]] = {}

    def announce(self, bells: list[Bell]) -> None:
        for each in bells:
            self.ranks[each.queue_name][each.id] = each.rank

    def take(self, taker: UUID, names: list[str], limit: int, now: int, lost: bool) -> Taken:
        answer = self.answers.get(taker, []) if lost else []
        if not answer:
            for name in names:
                due = [(rank, id_) for id_, rank in self.ranks[name].items() if ticks(due_at(rank)) <= now]
                for rank_, id_ in sorted(due)[: limit - len(answer)]:
                    answer.append((name, id_, rank_))
                    del self.ranks[name][id_]
            self.answers[taker] = answer
        left = [ticks(due_at(rank)) - now for name in names for rank in self.ranks[name].values()]
        rest = max(0, min(left)) / TICKS_PER_SECOND if left else None
        return Taken(tuple(id_ for _, id_, _ in answer), rest)

    def put_back(self, taker: UUID) -> None:
        for name, id_, rank_ in self.answers.pop(taker, []):
            self.ranks[name].setdefault(id_, rank_)


class Player:
    """Do random things to a transport and the reference alike, and compare every answer."""

    def __init__(self, transport: Transport, dice: random.Random) -> None:
        transport.open()
        self.transport, self.dice, self.reference = transport, dice, Reference()
        self.now = NOW
        self.known = [uuid4()]
        self.received = {uuid4(): 0 for _ in range(3)}
        self.lost: set[UUID] = set()

    def play(self) -> None:
        self.dice.choices([self.announce, self.take, self.put_back, self.pass_time], weights=[6, 6, 1, 2])[0]()

    def announce(self) -> None:
        bells = []
        for _ in range(self.dice.randint(1, 6)):
            if self.dice.random() < 0.7:
                self.known.append(uuid4())
            # Few priorities and few moments, so that bands fill up and ranks meet.
            when = self.now + timedelta(seconds=self.dice.choice([0, 0, -1, 1, self.dice.uniform(-50, 50)]))
            number = rank(self.dice.choice([-100, -1, 0, 0, 0, 5, 100]), self.dice.random() < 0.4, when)
            bells.append(Bell(self.dice.choice(self.known[-50:]), self.dice.choice(QUEUES), number))
        self.transport.announce(bells)
        self.reference.announce(bells)

    def take(self) -> None:
        taker = self.dice.choice(list(self.received))
        names = self.dice.sample(QUEUES, self.dice.randint(1, 3))
        limit = self.dice.choice([0, 1, 2, 5, 100])
        received = self.received[taker]
        taken = self.transport.take(taker, names, limit, self.now, received)
        assert taken == self.reference.take(taker, names, limit, ticks(self.now), taker in self.lost)
        if self.dice.random() < 0.2:
            self.lost.add(taker)
        else:
            self.lost.discard(taker)
            self.received[taker] += 1

    def put_back(self) -> None:
        taker = self.dice.choice(list(self.received))
        self.transport.put_back(taker)
        self.reference.put_back(taker)

    def pass_time(self) -> None:
        self.now += timedelta(seconds=self.dice.choice([0.0001, 0.1, 5, 20]))


def test_after_any_history_every_take_answers_as_the_reference_does(transport, dice):
    player = Player(transport, dice)
    for _ in range(OPERATIONS):
        player.play()
    assert sum(player.received.values()) > 100


def test_a_hundred_thousand_for_later_do_not_hide_what_is_due(transport):
    due = [bell(priority=-1, seconds=-3), bell(priority=-1, seconds=-2), bell(priority=-2, lifo=True, seconds=-1)]
    transport.announce([bell(priority=10, lifo=n % 2 == 0, seconds=60 + n / 100) for n in range(100_000)])
    transport.announce(due)

    taken = Taker(transport).take()

    assert taken == Taken(ids(*due), rest=60.0)


def test_a_hundred_thousand_are_handed_out_in_order_and_each_once(transport):
    bells = [bell(priority=n % 5, lifo=n % 3 == 0, seconds=-n / 1000) for n in range(100_000)]
    transport.announce(bells)
    taker, got = Taker(transport), list[UUID]()

    while some := taker.take(limit=1_000).ids:
        got += some

    assert got == [each.id for each in sorted(bells, key=lambda each: (each.rank, each.id))]


@pytest.mark.parametrize("priority", [-100, 0, 100])
@pytest.mark.parametrize("lifo", [True, False])
@pytest.mark.parametrize("when", ["first", "last"])
def test_the_edges_of_a_band_belong_to_it(transport, priority, lifo, when):
    tick = 0 if when == "first" else LAST_TICK
    moment = due_at(tick + BAND_SIZE)  # any upward band
    only = Bell(uuid4(), "default", rank(priority, lifo, moment))
    transport.announce([only])
    transport.open()

    early = transport.take(uuid4(), ["default"], 10, moment - timedelta(seconds=1), 0)
    assert early == (Taken((only.id,)) if when == "first" else Taken((), rest=1.0))
    if when == "last":
        assert transport.take(uuid4(), ["default"], 10, moment, 0) == Taken((only.id,))


def every_band() -> Iterator[int]:
    yield from (0, 1, 2, 200, 201, BANDS - 2, BANDS - 1)


def test_a_rank_is_in_the_due_range_of_its_band_exactly_when_its_time_has_come(dice):
    for band in every_band():
        for _ in range(200):
            number = band * BAND_SIZE + dice.randrange(BAND_SIZE)
            until = due_at(band * BAND_SIZE + dice.randrange(BAND_SIZE))
            first, last = due_range(band, until)
            assert (first <= number <= last) == (due_at(number) <= until)


def test_a_rank_tells_band_and_time(dice):
    for _ in range(500):
        priority, lifo = dice.randint(-100, 100), dice.random() < 0.5
        when = NOW + timedelta(milliseconds=dice.randrange(10**9))
        number = rank(priority, lifo, when)
        assert due_at(number) == when
        assert number // BAND_SIZE == (100 - priority) * 2 + (not lifo)
        assert int(float(number)) == number


def test_a_queue_that_is_forgotten_hands_out_nothing_and_others_go_on(transport: Transport):
    mine, other = bell("one"), bell("two")
    taker = Taker(transport)
    transport.announce([mine, other])
    transport.forget("one")
    transport.forget("never rung")
    assert taker.take(*QUEUES).ids == ids(other)
    transport.announce([mine])
    assert taker.take(*QUEUES).ids == ids(mine)
