"""One number orders everything: priority before kind before time, exact as a double."""

import random
from datetime import UTC, datetime, timedelta, timezone

import pytest

from django_jobs.definitions.rank import (
    BAND_SIZE,
    BANDS,
    LAST_TICK,
    ORIGIN,
    band,
    due_at,
    due_range,
    is_lifo,
    rank,
    ticks,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TICK = timedelta(microseconds=100)
FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


def test_the_bands_are_those_of_the_protocol():
    assert (band(100, True), band(100, False), band(0, True), band(0, False)) == (0, 1, 200, 201)
    assert (band(-100, True), band(-100, False), BANDS) == (400, 401, 402)


def test_the_largest_rank_is_that_of_the_protocol_and_exact_as_a_double():
    largest = rank(-100, False, LAST)
    assert largest == 7_072_058_789_855_231 == BANDS * BAND_SIZE - 1
    assert largest < 2**53
    assert int(float(largest)) == largest
    assert rank(100, True, LAST) == 0


def test_the_calendar_lasts_for_55_years_and_then_all_times_are_one():
    assert ticks(ORIGIN) == 0
    assert ticks(ORIGIN - timedelta(days=1)) == ticks(FIRST) == 0
    assert ticks(ORIGIN + timedelta(days=365 * 55)) < LAST_TICK
    assert ticks(ORIGIN + timedelta(days=365 * 57)) == ticks(LAST) == LAST_TICK


def test_a_tick_is_a_tenth_of_a_millisecond_rounded_down():
    assert ticks(ORIGIN + timedelta(seconds=1)) == 10_000
    assert ticks(ORIGIN + timedelta(microseconds=99)) == 0
    assert ticks(ORIGIN + timedelta(microseconds=100)) == 1


def test_the_zone_of_a_time_is_of_no_matter():
    assert ticks(NOON.astimezone(timezone(timedelta(hours=-9)))) == ticks(NOON)


@pytest.mark.parametrize(("lifo", "first"), [(False, timedelta(0)), (True, TICK)])
def test_earlier_comes_first_or_last(lifo, first):
    early, late = rank(0, lifo, NOON), rank(0, lifo, NOON + TICK)
    assert abs(late - early) == 1
    assert min(early, late) == rank(0, lifo, NOON + first)


def test_random_jobs_stand_in_the_order_of_priority_kind_and_time():
    dice = random.Random(7)
    jobs = [
        (dice.randint(-100, 100), dice.random() < 0.5, NOON + dice.randint(-(10**9), 10**9) * TICK) for _ in range(3000)
    ]

    def by_the_words(job):
        priority, lifo, when = job
        time = ticks(when)
        return -priority, not lifo, -time if lifo else time

    assert sorted(jobs, key=lambda job: rank(*job)) == sorted(jobs, key=by_the_words)


def test_what_is_due_is_one_range_a_band():
    dice = random.Random(8)
    since = NOON - timedelta(seconds=60)
    for _ in range(3000):
        priority, lifo = dice.randint(-100, 100), dice.random() < 0.5
        when = NOON + dice.randint(-1_000_000, 1_000_000) * TICK
        number, within = rank(priority, lifo, when), band(priority, lifo)
        first, last = due_range(within, NOON)
        assert (first <= number <= last) == (when <= NOON)
        first, last = due_range(within, NOON, since)
        assert (first <= number <= last) == (since <= when <= NOON)
        for other in (within - 1, within + 1):
            first, last = due_range(other, LAST)
            assert not first <= number <= last


def test_a_rank_tells_its_time_and_kind():
    dice = random.Random(9)
    for _ in range(1000):
        lifo, when = dice.random() < 0.5, ORIGIN + dice.randint(0, LAST_TICK) * TICK
        number = rank(dice.randint(-100, 100), lifo, when)
        assert (due_at(number), is_lifo(number)) == (when, lifo)
