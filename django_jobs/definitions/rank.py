"""Rank: one number that orders everything, in Redis as the score, in SQL as the ORDER BY.

`band = (100 - priority) * 2 + (0 if lifo else 1)`, and inside a band the time of arrival, counted in ticks of
0.1 ms since 2025-01-01 UTC, upwards for first in first out, downwards for last in first out. So what is due is
arithmetic: one range of numbers a band. The largest rank stays below 2**53 and is exact as a double.
"""

from datetime import UTC, datetime, timedelta

LOWEST_PRIORITY, HIGHEST_PRIORITY = -100, 100
TICKS_PER_SECOND = 10_000
BAND_BITS = 44
BAND_SIZE = 1 << BAND_BITS
LAST_TICK = BAND_SIZE - 1
BANDS = (HIGHEST_PRIORITY - LOWEST_PRIORITY + 1) * 2
ORIGIN = datetime(2025, 1, 1, tzinfo=UTC)
ORIGIN_EPOCH_SECONDS = int(ORIGIN.timestamp())

_MICROSECONDS_PER_TICK = 1_000_000 // TICKS_PER_SECOND
_ONE_MICROSECOND = timedelta(microseconds=1)


def ticks(when: datetime) -> int:
    """Return the tick of an aware datetime, at least 0 and at most the last of a band."""
    count = (when - ORIGIN) // _ONE_MICROSECOND // _MICROSECONDS_PER_TICK
    return min(max(count, 0), LAST_TICK)


def band(priority: int, lifo: bool) -> int:
    """Return the number of the band, 0 (first) to 401 (last)."""
    return (HIGHEST_PRIORITY - priority) * 2 + (0 if lifo else 1)


def rank(priority: int, lifo: bool, when: datetime) -> int:
    """Return the rank of a job of this priority that arrives, or becomes due, at `when`."""
    tick = ticks(when)
    return band(priority, lifo) * BAND_SIZE + (LAST_TICK - tick if lifo else tick)


def is_lifo(rank_number: int) -> bool:
    """Tell whether time runs downwards in the band of a rank."""
    return rank_number // BAND_SIZE % 2 == 0


def due_range(band_number: int, until: datetime, since: datetime | None = None) -> tuple[int, int]:
    """Return the first and the last rank of a band whose time lies in [since, until]; since None: from the start."""
    first_tick = ticks(since) if since is not None else 0
    last_tick = ticks(until)
    start = band_number * BAND_SIZE
    if is_lifo(start):
        return start + LAST_TICK - last_tick, start + LAST_TICK - first_tick
    return start + first_tick, start + last_tick


def due_at(rank_number: int) -> datetime:
    """Return the time that a rank stands for."""
    tick = rank_number % BAND_SIZE
    if is_lifo(rank_number):
        tick = LAST_TICK - tick
    return ORIGIN + timedelta(microseconds=tick * _MICROSECONDS_PER_TICK)
