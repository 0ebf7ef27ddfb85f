"""The transport in Redis: the contract, lost memory, foreign keys, and what stands in its way."""

import random
from uuid import uuid4

import pytest
from redis import Redis

from django_jobs.definitions.rank import BAND_SIZE, BANDS
from django_jobs.errors import TransportError
from django_jobs.testing.transports import DEADLINE_SECONDS, NOW, HandingOutContract, Taker, bell, ids, waiting
from django_jobs.transports.base import Taken, Transport
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
