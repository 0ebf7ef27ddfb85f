"""The transport in Redis: the contract, lost memory, foreign keys, and what stands in its way."""

import random
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis

from django_jobs.definitions.rank import BAND_SIZE, BANDS
from django_jobs.errors import TransportError
from django_jobs.testing.transports import DEADLINE_SECONDS, NOW, HandingOutContract, Taker, bell, ids, waiting
from django_jobs.transports.base import Bell, Taken, Transport
from django_jobs.transports.redis import RedisTransport
from django_jobs.transports.redis.transport import MOST_A_RING, MOST_A_TAKE


class TestRedisTransport(HandingOutContract):
    @pytest.fixture
    def transport(self, redis_transport: RedisTransport) -> Transport:
        return redis_transport


@pytest.fixture
def taker(redis_transport: RedisTransport) -> Taker:
    return Taker(redis_transport)


def forget_everything(client: Redis, prefix: str) -> None:
    """Do to this test's keys what FLUSHALL does to all."""
    client.delete(*client.scan_iter(f"{{{prefix}:*"))


# Memory


def test_a_new_server_counts_as_one_that_lost_its_memory(redis_transport):
    assert redis_transport.is_flushed()
    redis_transport.open()
    assert not redis_transport.is_flushed()


def test_after_a_flush_nothing_is_handed_out_until_the_table_was_rung_again(redis_transport, taker, client, prefix):
    known, also_known, new = bell(seconds=-3), bell(seconds=-2), bell(seconds=-1)
    redis_transport.announce([known, also_known])
    assert taker.take_and_lose_the_answer(limit=1).ids == ids(known)
    forget_everything(client, prefix)

    redis_transport.announce([new])
    assert taker.take() == Taken(flushed=True)
    assert redis_transport.is_flushed()

    redis_transport.announce([known, also_known, new])
    redis_transport.open()
    assert taker.take() == Taken(ids(known, also_known, new))


def test_forgotten_scripts_are_loaded_again(redis_transport, taker, client):
    assert taker.take().ids == ()
    client.script_flush()
    only = bell()
    redis_transport.announce([only])
    assert taker.take().ids == ids(only)


@pytest.mark.parametrize("first", ["ring", "take", "put back"])
def test_whatever_comes_first_on_a_server_that_forgot_its_scripts_loads_them(redis_transport, taker, client, first):
    known, lost, new = bell(seconds=-3), bell(seconds=-2), bell(seconds=-1)
    redis_transport.announce([lost])
    dead = Taker(redis_transport)
    assert dead.take_and_lose_the_answer().ids == ids(lost)
    redis_transport.announce([known])
    client.script_flush()
    if first == "ring":
        redis_transport.announce([new])
        assert taker.take().ids == ids(known, new)
    elif first == "take":
        assert taker.take().ids == ids(known)
    else:
        redis_transport.put_back(dead.id)
        assert taker.take().ids == ids(known, lost)


def scores(client: Redis, key: str) -> dict[bytes, float]:
    answer: Any = client.zrange(key, 0, -1, withscores=True)
    return {bytes(member): float(score) for member, score in answer}


def scored(*bells: Bell) -> dict[bytes, float]:
    return {each.id.bytes: float(each.rank) for each in bells}


def test_one_ring_in_several_queues_with_several_ranks_puts_each_where_it_belongs(redis_transport, client, keys):
    bells = [bell(f"queue {n % 3}", priority=n % 7, lifo=n % 2 == 0, seconds=-(n % 5)) for n in range(420)]
    redis_transport.announce(bells)
    for number in range(3):
        name = f"queue {number}"
        assert scores(client, keys.queue(name)) == scored(*(each for each in bells if each.queue_name == name))
        assert client.lrange(keys.wake(name), 0, -1) == [b"1"]


def test_who_rings_again_changes_the_rank_and_who_puts_back_does_not(redis_transport, client, keys):
    bells = [bell(name, seconds=-n) for n, name in enumerate(["one", "two"] * 5)]
    dead = Taker(redis_transport)
    redis_transport.announce(bells)
    assert len(dead.take("one", "two").ids) == 10
    # Half of them are rung meanwhile, with other ranks, and once more.
    for priority in (3, 7):
        again = [
            Bell(each.id, each.queue_name, bell(priority=priority, seconds=-n).rank) for n, each in enumerate(bells)
        ]
        redis_transport.announce(again[:5])
    redis_transport.put_back(dead.id)
    stored = scores(client, keys.queue("one")) | scores(client, keys.queue("two"))
    assert stored == scored(*again[:5], *bells[5:])


def test_of_an_id_that_is_rung_twice_at_once_the_last_rank_counts(redis_transport, taker, client, keys):
    first, second = bell(seconds=-2), bell(seconds=-1)
    again = [Bell(each.id, "default", other.rank) for each, other in ((first, second), (second, first))]
    redis_transport.announce([first, second, *again])
    assert scores(client, keys.queue("default")) == scored(*again)
    redis_transport.announce([*again, first, second, first])
    assert scores(client, keys.queue("default")) == scored(first, second)
    assert taker.take().ids == ids(first, second)


@pytest.mark.parametrize("count", [1, MOST_A_RING, 2 * MOST_A_RING + 500])
def test_however_many_ring_and_however_often_each_queue_has_one_marker(redis_transport, client, keys, count):
    for _ in range(3):
        redis_transport.announce([bell(name) for _ in range(count) for name in ("one", "two")])
        assert [client.llen(keys.wake(name)) for name in ("one", "two")] == [1, 1]
    # A marker that somebody has taken comes back, in that queue alone.
    redis_transport.wait(["one"], DEADLINE_SECONDS)
    assert [client.llen(keys.wake(name)) for name in ("one", "two")] == [0, 1]
    redis_transport.announce([bell("one")])
    assert [client.llen(keys.wake(name)) for name in ("one", "two")] == [1, 1]


def test_a_second_process_shares_queues_and_wakes_the_first(redis_transport, address, prefix):
    other, only = RedisTransport(address, prefix), bell()
    with waiting(redis_transport, ["default"]):
        other.announce([only])
    assert Taker(redis_transport).take().ids == ids(only)
    other.close()


def test_a_wake_is_for_its_own_process_alone(redis_transport, address, prefix, client, keys):
    other = RedisTransport(address, prefix)
    other.wake()
    other.wake()
    redis_transport.wait(["default"], 0.05)
    [mark] = client.scan_iter(f"{keys.process_wake(uuid4())[:-32]}*")
    assert client.llen(mark) == 1
    assert client.ttl(mark) > 0
    other.wait(["default"], 3 * DEADLINE_SECONDS)
    assert not client.exists(mark)
    other.close()


def test_however_much_happens_one_marker_waits_in_a_queue(redis_transport, taker, client, keys):
    for _ in range(3):
        redis_transport.announce([bell(), bell(), bell()])
        redis_transport.put_back(taker.id)
        for _ in range(2):
            assert taker.take(limit=1).rest == 0.0
            assert client.llen(keys.wake("default")) == 1


def test_another_prefix_hears_nothing(redis_transport, address, prefix):
    redis_transport.announce([bell()])
    other = RedisTransport(address, f"{prefix}:other")
    assert Taker(other).take().ids == ()
    other.close()


def test_all_keys_of_a_prefix_lie_in_one_slot_of_a_cluster(redis_transport, taker, client, prefix):
    redis_transport.announce([bell("one"), bell("{two}"), bell("three:3 {")])
    taker.take("one", limit=1)
    redis_transport.wake()
    names = [key.decode() for key in client.scan_iter(f"*{prefix}*")]
    assert {name.split(":")[2] for name in names} == {"epoch", "queue", "wake", "batch", "wake-process"}
    assert all(name.startswith(f"{{{prefix}:1}}:") for name in names)


def test_an_answer_is_not_kept_for_ever(redis_transport, taker, client, keys):
    only = bell()
    redis_transport.announce([only])
    assert taker.take().ids == ids(only)
    assert 0 < client.ttl(keys.batch(taker.id)) <= 3600
    client.delete(keys.batch(taker.id))
    redis_transport.announce([only])
    assert taker.take().ids == ids(only)


def test_every_bell_of_a_great_many_in_many_queues_arrives(redis_transport, taker):
    bells = [bell(f"queue {n % 30}", seconds=-n) for n in range(10 * MOST_A_RING + 1_234)]
    redis_transport.announce(bells)
    names = [f"queue {n}" for n in range(30)]
    got = set()
    while some := taker.take(*names, limit=10 * MOST_A_TAKE).ids:
        assert len(some) <= MOST_A_TAKE
        got.update(some)
    assert got == set(ids(*bells))


# What is not ours


def test_members_that_are_no_ids_are_dropped(redis_transport, taker, client, keys):
    first, last = bell(seconds=-20), bell(seconds=-1)
    redis_transport.announce([first, last])
    junk = {f"junk {n}": bell(seconds=-10).rank for n in range(30)}
    client.zadd(keys.queue("default"), junk)

    got, rest = (), 0.0
    while rest == 0.0:
        taken = taker.take(limit=4)
        got, rest = got + taken.ids, taken.rest

    assert got == ids(first, last)
    assert client.zcard(keys.queue("default")) == 0


def test_scores_that_are_no_ranks_stop_nobody(redis_transport, taker, client, keys):
    only = bell(priority=-100)
    redis_transport.announce([only])
    largest = BANDS * BAND_SIZE
    dice = random.Random(5)
    for score in ("-inf", -1, 0.5, BAND_SIZE - 0.5, 7.25 * BAND_SIZE, largest - 0.5, largest, largest * 1e9, "+inf"):
        client.zadd(keys.queue("default"), {dice.randbytes(16): score})
    got = taker.take().ids
    assert only.id in got
    assert len(set(got)) == len(got)
    assert taker.take().ids == ()


@pytest.mark.parametrize(
    ("spoiled", "act"),
    [
        ("queue", lambda transport: transport.announce([bell()])),
        ("wake", lambda transport: transport.announce([bell()])),
        ("queue", lambda transport: transport.take(uuid4(), ["other", "default"], 10, NOW, 0)),
        ("wake", lambda transport: transport.wait(["other", "default"], 10)),
    ],
)
def test_a_key_that_holds_something_foreign_is_named(redis_transport, client, keys, spoiled, act):
    key = getattr(keys, spoiled)("default")
    client.hset(key, "some", "thing")
    redis_transport.open()

    with pytest.raises(TransportError) as caught:
        act(redis_transport)

    assert f"{key!r} holds a hash where a " in str(caught.value)
    assert "PREFIX" in str(caught.value)


def test_a_foreign_batch_is_named(redis_transport, taker, client, keys):
    client.set(keys.batch(taker.id), "foreign")
    for act in (taker.take, lambda: redis_transport.put_back(taker.id)):
        with pytest.raises(TransportError, match=f"{taker.id.hex}' holds a string where a list"):
            act()


@pytest.mark.parametrize(
    "content", [["1", "default", "short", "5"], ["1", b"\xff\xfe", b"x" * 16, "many"], ["1"], ["1", "default"], ["one"]]
)
def test_a_batch_of_junk_is_survived(redis_transport, taker, client, keys, content):
    client.rpush(keys.batch(taker.id), *content)
    only = bell()
    redis_transport.announce([only])
    taker.take()
    redis_transport.put_back(taker.id)
    assert Taker(redis_transport).take().ids in ((), ids(only))


def test_a_take_that_fails_takes_nothing(redis_transport, taker, client, keys):
    only = bell("good")
    redis_transport.announce([only])
    client.set(keys.queue("spoiled"), "foreign")
    with pytest.raises(TransportError, match="spoiled"):
        taker.take("good", "spoiled")
    client.delete(keys.queue("spoiled"))
    assert taker.take("good", "spoiled").ids == ids(only)
