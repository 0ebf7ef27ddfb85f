"""The promises of a transport as tests, for ours and for anybody else's.

A test module subclasses one of the two contracts and gives it a fixture `transport`: a new one, without any bell.

    class TestMyTransport(HandingOutContract):
        @pytest.fixture
        def transport(self):
            transport = MyTransport(...)
            yield transport
            transport.close()
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from django_jobs.definitions.rank import rank
from django_jobs.transports.base import Bell, Taken, Transport

NOW = datetime(2031, 5, 17, 12, 30, tzinfo=UTC)
# After this long a promise counts as broken.
DEADLINE_SECONDS = 20.0


def bell(queue_name: str = "default", *, priority: int = 0, lifo: bool = False, seconds: float = 0) -> Bell:
    """Return the bell of a new job that arrives, or becomes due, `seconds` after NOW."""
    return Bell(uuid4(), queue_name, rank(priority, lifo, NOW + timedelta(seconds=seconds)))


def ids(*bells: Bell) -> tuple[UUID, ...]:
    return tuple(each.id for each in bells)


class Taker:
    """A worker's side of a take: an id of its own, and the number of answers received."""

    def __init__(self, transport: Transport) -> None:
        """Open the transport, as a worker does when it has rung the whole table."""
        transport.open()
        self.transport = transport
        self.id = uuid4()
        self.received = 0

    def take(self, *queue_names: str, limit: int = 100, seconds: float = 0, shares: Sequence[int] = ()) -> Taken:
        """Take at `seconds` after NOW."""
        taken = self.take_and_lose_the_answer(*queue_names, limit=limit, seconds=seconds, shares=shares)
        self.received += 1
        return taken

    def take_and_lose_the_answer(
        self, *queue_names: str, limit: int = 100, seconds: float = 0, shares: Sequence[int] = ()
    ) -> Taken:
        """Take, without ever knowing about the answer that the test gets to see."""
        now = NOW + timedelta(seconds=seconds)
        taken = self.transport.take(self.id, queue_names or ("default",), limit, now, self.received, shares)
        assert taken is not None, "Who hands out answers every take."
        return taken


@contextmanager
def waiting(transport: Transport, queue_names: Sequence[str], seconds: float = 3 * DEADLINE_SECONDS) -> Iterator[None]:
    """Let another thread wait; what the block does must end that wait."""
    with ThreadPoolExecutor() as threads:
        wait = threads.submit(transport.wait, queue_names, seconds)
        yield
        wait.result(timeout=DEADLINE_SECONDS)


class TransportContract:
    """What every transport promises."""

    def test_the_contract_fits_the_transport(self, transport: Transport) -> None:
        assert transport.hands_out == isinstance(self, HandingOutContract)

    def test_a_take_is_answered_by_who_hands_out_and_by_nobody_else(self, transport: Transport) -> None:
        transport.announce([bell()])
        assert (transport.take(uuid4(), ["default"], 10, NOW, 0) is not None) == transport.hands_out

    def test_announcing_nothing_is_fine(self, transport: Transport) -> None:
        transport.announce([])

    def test_a_wait_ends_when_something_is_announced(self, transport: Transport) -> None:
        with waiting(transport, ["other", "default"]):
            transport.announce([bell("default")])

    def test_a_wait_ends_when_something_is_announced_for_later(self, transport: Transport) -> None:
        with waiting(transport, ["default"]):
            transport.announce([bell(seconds=60)])

    def test_a_wait_ends_when_it_is_woken(self, transport: Transport) -> None:
        with waiting(transport, ["default"]):
            transport.wake()

    def test_a_wait_for_no_queue_ends_when_it_is_woken(self, transport: Transport) -> None:
        with waiting(transport, []):
            transport.wake()

    def test_a_wait_ends_by_itself(self, transport: Transport) -> None:
        for seconds in (-1, 0, 0.00001, 0.05):
            transport.wait(["default"], seconds)

    def test_nothing_is_put_back_of_who_never_took(self, transport: Transport) -> None:
        transport.put_back(uuid4())

    def test_the_description_is_one_line(self, transport: Transport) -> None:
        assert len(transport.describe().splitlines()) == 1


class HandingOutContract(TransportContract):
    """What a transport promises that hands out ids itself."""

    def test_first_in_is_first_out_and_priority_goes_before(self, transport: Transport) -> None:
        low, late, early, high = bell(priority=-5), bell(seconds=-1), bell(seconds=-2), bell(priority=7)
        transport.announce([low, late, early, high])
        assert Taker(transport).take().ids == ids(high, early, late, low)

    def test_last_in_is_first_out_where_asked_for_and_goes_before_first_in(self, transport: Transport) -> None:
        plain, early, late = bell(seconds=-3), bell(lifo=True, seconds=-2), bell(lifo=True, seconds=-1)
        transport.announce([plain, early, late])
        assert Taker(transport).take().ids == ids(late, early, plain)

    def test_of_two_with_one_rank_the_smaller_id_goes_first(self, transport: Transport) -> None:
        bells = [bell() for _ in range(20)]
        transport.announce(bells)
        assert Taker(transport).take().ids == tuple(sorted(ids(*bells)))

    def test_queues_are_emptied_in_the_order_given(self, transport: Transport) -> None:
        first, second, other = bell("first", priority=-9), bell("second", priority=9), bell("other")
        transport.announce([second, first, other])
        assert Taker(transport).take("first", "second").ids == ids(first, second)

    def test_a_queue_named_twice_is_emptied_once(self, transport: Transport) -> None:
        only = bell()
        transport.announce([only])
        assert Taker(transport).take("default", "default").ids == ids(only)

    def test_while_all_queues_have_bells_each_gives_its_share(self, transport: Transport) -> None:
        first, second = [bell("first", seconds=-n) for n in range(9)], [bell("second", seconds=-n) for n in range(9)]
        transport.announce([*first, *second])
        taker = Taker(transport)
        for _ in range(2):
            ids = taker.take("first", "second", limit=4, shares=[3, 1]).ids
            assert [sum(each.id in ids for each in queue) for queue in (first, second)] == [3, 1]
        assert taker.take("first", "second", limit=1, shares=[0, 1]).ids[0] in {each.id for each in second}

    def test_what_a_queue_cannot_give_of_its_share_comes_from_the_others_in_their_order(
        self, transport: Transport
    ) -> None:
        first, second, third = bell("first"), bell("second"), [bell("third", seconds=n - 9) for n in range(9)]
        transport.announce([first, second, *third])
        taker = Taker(transport)
        taken = taker.take("first", "second", "third", limit=6, shares=[4, 1, 1])
        assert taken == Taken(ids(first, second, *third[:4]), rest=0.0)
        assert taker.take("first", "second", "third", limit=6, shares=[6, 0, 0]).ids == ids(*third[4:])

    def test_no_more_than_the_limit_is_handed_out_and_the_rest_is_told(self, transport: Transport) -> None:
        bells = [bell("first"), bell("second"), bell("third")]
        transport.announce(bells)
        taker = Taker(transport)
        taken = taker.take("first", "second", "third", limit=2)
        assert (taken.ids, taken.rest) == (ids(*bells[:2]), 0.0)
        taken = taker.take("first", "second", "third", limit=2)
        assert (taken.ids, taken.rest) == (ids(bells[2]), None)

    def test_a_limit_of_nothing_only_tells_the_rest(self, transport: Transport) -> None:
        transport.announce([bell()])
        taken = Taker(transport).take(limit=0)
        assert (taken.ids, taken.rest) == ((), 0.0)

    def test_nothing_is_known_of_an_empty_queue(self, transport: Transport) -> None:
        assert Taker(transport).take("default", "other") == Taken((), rest=None)
        assert Taker(transport).take("empty") == Taken((), rest=None)

    def test_what_is_due_later_is_not_handed_out_early(self, transport: Transport) -> None:
        soon, later = bell(priority=9, seconds=5), bell(lifo=True, seconds=30)
        transport.announce([later, soon])
        taker = Taker(transport)
        assert taker.take() == Taken((), rest=5.0)
        assert taker.take(seconds=4.999) == Taken((), rest=0.001)
        assert taker.take(seconds=5) == Taken(ids(soon), rest=25.0)
        assert taker.take(seconds=30) == Taken(ids(later), rest=None)

    def test_what_is_due_later_does_not_hide_what_is_due_now(self, transport: Transport) -> None:
        due = bell(priority=-100, seconds=-1)
        transport.announce([due, *(bell(priority=50, lifo=bool(n % 2), seconds=60 + n) for n in range(200))])
        assert Taker(transport).take() == Taken(ids(due), rest=60.0)

    def test_an_earlier_bell_ends_the_wait_for_a_later_one(self, transport: Transport) -> None:
        later, earlier = bell(seconds=300), bell(seconds=100)
        taker = Taker(transport)
        transport.announce([later])
        transport.wait(["default"], 1)  # the marker of the first bell
        rest = taker.take().rest
        assert rest == 300.0
        with waiting(transport, ["default"], rest):
            transport.announce([earlier])
        assert taker.take() == Taken((), rest=100.0)

    def test_announcing_twice_changes_nothing(self, transport: Transport) -> None:
        first, second = bell(seconds=-2), bell(seconds=-1)
        transport.announce([first, second])
        transport.announce([first])
        transport.announce([second, second])
        taker = Taker(transport)
        assert taker.take().ids == ids(first, second)
        assert taker.take().ids == ()

    def test_announcing_with_another_rank_moves_the_job(self, transport: Transport) -> None:
        first, second = bell(seconds=-2), bell(seconds=-1)
        transport.announce([first, second])
        transport.announce([Bell(second.id, "default", rank(9, False, NOW))])
        assert Taker(transport).take().ids == ids(second, first)

    def test_what_is_announced_again_after_a_take_is_handed_out_again(self, transport: Transport) -> None:
        only = bell()
        taker = Taker(transport)
        for _ in range(3):
            transport.announce([only])
            assert taker.take().ids == ids(only)

    def test_a_lost_answer_is_given_again(self, transport: Transport) -> None:
        first, second = bell("first"), bell("second")
        transport.announce([first, second])
        taker = Taker(transport)
        for _ in range(3):
            lost = taker.take_and_lose_the_answer("first", "second", limit=1)
            assert lost == Taken(ids(first), rest=0.0)
        assert taker.take("first", "second", limit=1).ids == ids(first)
        assert taker.take("first", "second", limit=1).ids == ids(second)

    def test_an_empty_lost_answer_hides_nothing(self, transport: Transport) -> None:
        taker = Taker(transport)
        assert taker.take_and_lose_the_answer().ids == ()
        only = bell()
        transport.announce([only])
        assert taker.take().ids == ids(only)

    def test_a_received_answer_is_never_given_again(self, transport: Transport) -> None:
        transport.announce([bell() for _ in range(5)])
        taker = Taker(transport)
        assert len(taker.take().ids) == 5
        for _ in range(3):
            assert taker.take().ids == ()

    def test_a_new_taker_gets_nothing_of_anothers_answer(self, transport: Transport) -> None:
        transport.announce([bell()])
        assert len(Taker(transport).take_and_lose_the_answer().ids) == 1
        assert Taker(transport).take().ids == ()

    def test_the_last_answer_of_a_dead_taker_is_put_back(self, transport: Transport) -> None:
        old, lost, kept = bell("other", seconds=-3), bell("default", seconds=-2), bell("other", seconds=-1)
        dead, living = Taker(transport), Taker(transport)
        transport.announce([old])
        assert dead.take("default", "other").ids == ids(old)
        transport.announce([lost, kept])
        assert dead.take_and_lose_the_answer("default", "other").ids == ids(lost, kept)
        assert living.take("default", "other").ids == ()
        transport.put_back(dead.id)
        transport.put_back(dead.id)
        assert living.take("default", "other").ids == ids(lost, kept)
        assert living.take("default", "other").ids == ()

    def test_putting_back_wakes_a_worker(self, transport: Transport) -> None:
        transport.announce([bell()])
        transport.wait(["default"], 1)  # the marker of the announcement
        dead = Taker(transport)
        assert len(dead.take().ids) == 1
        with waiting(transport, ["default"]):
            transport.put_back(dead.id)

    def test_putting_back_does_not_undo_a_newer_rank(self, transport: Transport) -> None:
        again, other = bell(seconds=-9), bell(seconds=-1)
        dead = Taker(transport)
        transport.announce([again])
        assert dead.take().ids == ids(again)
        transport.announce([Bell(again.id, "default", rank(0, False, NOW)), other])
        transport.put_back(dead.id)
        assert Taker(transport).take().ids == ids(other, again)

    def test_who_comes_back_after_being_put_back_goes_on(self, transport: Transport) -> None:
        transport.announce([bell(), bell()])
        zombie = Taker(transport)
        assert len(zombie.take().ids) == 2
        transport.put_back(zombie.id)
        assert len(zombie.take().ids) == 2
        assert zombie.take().ids == ()

    def test_what_a_take_leaves_wakes_the_next_worker(self, transport: Transport) -> None:
        transport.announce([bell(), bell()])
        transport.wait(["default"], 1)  # the marker of the announcement
        with waiting(transport, ["default"]):
            assert Taker(transport).take(limit=1).rest == 0.0

    def test_nothing_is_handed_out_of_a_lost_memory_until_it_is_opened(self, transport: Transport) -> None:
        only, was_flushed = bell(), transport.is_flushed()
        transport.announce([only])
        taken = transport.take(uuid4(), ["default"], 10, NOW, 0)
        assert taken is not None
        assert taken.flushed == was_flushed
        assert taken.ids == (() if was_flushed else ids(only))
        transport.open()
        assert not transport.is_flushed()
        if was_flushed:
            assert transport.take(uuid4(), ["default"], 10, NOW, 0) == Taken(ids(only))

    def test_many_at_once_get_each_id_exactly_once(self, transport: Transport) -> None:
        bells = [bell(priority=n % 3, seconds=-n) for n in range(1_000)]

        def work(_: int) -> list[UUID]:
            taker, got = Taker(transport), list[UUID]()
            while len(got) < len(bells) and (some := taker.take(limit=7).ids):
                got += some
            return got

        transport.announce(bells)
        with ThreadPoolExecutor(8) as threads:
            counts = Counter(id_ for got in threads.map(work, range(8)) for id_ in got)
        assert counts == Counter(ids(*bells))

    def test_waiting_keeps_nobody_else_from_the_transport(self, transport: Transport) -> None:
        taker, only = Taker(transport), bell("other")
        with waiting(transport, ["default"]):
            transport.announce([only])
            assert taker.take("other").ids == ids(only)
            transport.wake()
