"""Identifiers are UUIDv7, and increase inside a process whatever the threads and the clock do."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

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
