"""Identifiers are UUIDv7, and increase inside a process whatever the threads and the clock do."""

import copy
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

import pytest

from django_jobs.definitions import identifiers
from django_jobs.definitions.identifiers import uuid7, uuid7s


def test_identifiers_are_of_version_7():
    for each in uuid7s(100):
        assert (each.version, each.variant) == (7, "specified in RFC 4122")


def test_identifiers_begin_with_the_time():
    before = time.time_ns() // 1_000_000
    milliseconds = uuid7().int >> 80
    assert before <= milliseconds <= time.time_ns() // 1_000_000 + 1


def test_identifiers_increase_one_by_one_and_in_lots():
    made = [uuid7(), *uuid7s(1000), uuid7(), *uuid7s(1), *uuid7s(50_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert uuid7s(0) == []


def test_threads_make_no_identifier_twice_and_each_sees_its_own_increase():
    with ThreadPoolExecutor(4) as pool:
        lots = list(pool.map(lambda _: [uuid7() for _ in range(5000)], range(4)))
    assert len({each for lot in lots for each in lot}) == 20_000
    assert all(lot == sorted(lot) for lot in lots)


def test_a_clock_that_goes_back_makes_no_smaller_identifier():
    """As it looks from here: the last identifier was made a minute after now."""
    last = identifiers._last_millisecond
    identifiers._last_millisecond = time.time_ns() // 1_000_000 + 60_000
    try:
        before = uuid7()
        assert uuid7() > before
        assert before.int >> 80 > time.time_ns() // 1_000_000 + 30_000
    finally:
        identifiers._last_millisecond = last


def stamp(identifier: UUID) -> int:
    """Return the milliseconds and the counter behind them, 48 and 42 bits."""
    number = identifier.int
    return (number >> 80) << 42 | (number >> 64 & 0xFFF) << 30 | number >> 32 & 0x3FFF_FFFF


@pytest.mark.parametrize("bits", [30, 31, 41, 42], ids="the counter stands before {} bits are full".format)
@pytest.mark.parametrize("before", range(1, 6))
def test_the_counter_goes_on_by_one_where_the_next_part_of_an_identifier_begins(
    monkeypatch: pytest.MonkeyPatch, bits: int, before: int
):
    # As after a clock that went back: until it is there again only the counter changes.
    millisecond = time.time_ns() // 1_000_000 + 3_600_000
    monkeypatch.setattr(identifiers, "_last_millisecond", millisecond)
    monkeypatch.setattr(identifiers, "_counter", (1 << bits) - before)
    made = [uuid7(), *uuid7s(2), *uuid7s(3), uuid7(), *uuid7s(500)]
    begin = (millisecond << 42) + (1 << bits) - before
    assert [stamp(each) for each in made] == list(range(begin + 1, begin + 508))
    assert made == sorted(made)
    assert {(each.version, each.variant) for each in made} == {(7, RFC_4122)}
    # The counter apart, nothing of two can be told from each other's.
    assert len({each.int & 0xFFFF_FFFF for each in made}) > 500


def test_an_identifier_is_a_uuid_like_any_other():
    for each in (uuid7(), *uuid7s(3)):
        plain = UUID(int=each.int)
        assert type(each) is UUID
        assert each == plain
        assert {each: "here"}[plain] == "here"
        assert (hash(each), str(each), repr(each)) == (hash(plain), str(plain), repr(plain))
        assert (each.bytes, each.fields, each.is_safe) == (plain.bytes, plain.fields, plain.is_safe)
        assert pickle.dumps(each) == pickle.dumps(plain)
        assert pickle.loads(pickle.dumps(each)) == copy.deepcopy(each) == plain  # noqa: S301 (made here)
        assert UUID(int=each.int - 1) < each < UUID(int=each.int + 1)
        with pytest.raises(TypeError, match="immutable"):
            each.int = 5  # type: ignore[misc]


FORKED = """
import os, sys
from django_jobs.definitions.identifiers import uuid7s
uuid7s(1)
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, b"".join(each.bytes for each in uuid7s(50)))
    os._exit(0)
os.wait()
theirs = os.read(read, 10_000)
made = {theirs[start : start + 16] for start in range(0, len(theirs), 16)}
print(len(made), len(made & {each.bytes for each in uuid7s(50)}))
"""


def test_a_child_process_makes_other_identifiers():
    answer = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["50", "0"]
