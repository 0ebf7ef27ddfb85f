"""UUIDv7 identifiers, made by the caller's process and increasing inside it (RFC 9562, method 1 of section 6.2)."""

import os
import threading
import time
import uuid
from array import array
from collections.abc import Iterable
from datetime import datetime

_COUNTER_BITS = 42
# Below the variant: the lower end of the counter, and a random tail.
_LOW_BITS, _TAIL_BITS = 30, 32
_VARIANT = 0b10 << 62
# The system is asked for so many random bytes at once: a question for a few costs more than all else.
_RANDOM_BYTES = 4096

_lock = threading.Lock()
_last_millisecond = 0
_counter = 0
# Random numbers of 32 bits that nobody had yet.
_random_numbers: list[int] = []


def uuid7s(count: int) -> list[uuid.UUID]:
    """Return `count` identifiers, each greater than any that this process made before."""
    global _last_millisecond, _counter
    with _lock:
        millisecond = time.time_ns() // 1_000_000
        if millisecond > _last_millisecond:
            _last_millisecond = millisecond
            high, low = _take_random_numbers(2)
            # The top bit starts clear, so that the counter has room to grow inside the millisecond.
            _counter = (high << _TAIL_BITS | low) >> (2 * _TAIL_BITS - _COUNTER_BITS + 1)
        first = (_last_millisecond << _COUNTER_BITS) | _counter
        last = first + count
        _last_millisecond, _counter = last >> _COUNTER_BITS, last & ((1 << _COUNTER_BITS) - 1)
        tails = _take_random_numbers(count)
    if (first + 1) >> _LOW_BITS == last >> _LOW_BITS:
        begin = _spread(first + 1)
        numbers: Iterable[int] = range(begin, begin + (count << _TAIL_BITS), 1 << _TAIL_BITS)
    else:
        numbers = map(_spread, range(first + 1, last + 1))
    return [_uuid(number | tail) for number, tail in zip(numbers, tails, strict=True)]


def uuid7() -> uuid.UUID:
    """Return one identifier, greater than any that this process made before."""
    return uuid7s(1)[0]


def earliest(when: datetime) -> uuid.UUID:
    """Return what is smaller than every identifier that was made at this moment or later."""
    millisecond = max(int(when.timestamp() * 1000), 0)
    return uuid.UUID(int=(millisecond << 80) | (0x7 << 76) | (0b10 << 62))


def _spread(stamp: int) -> int:
    """Put version and variant between 48 bits of time, 12 and 30 of the counter, and leave room for the tail."""
    above, below = stamp >> _LOW_BITS, stamp & ((1 << _LOW_BITS) - 1)
    high = (above >> 12 << 16) | 0x7000 | (above & 0xFFF)
    return (high << 64) | _VARIANT | (below << _TAIL_BITS)


def _uuid(number: int) -> uuid.UUID:
    """Make it as a pickle does, without the checks of UUID(int=...), which take twice as long."""
    made = uuid.UUID.__new__(uuid.UUID)
    made.__setstate__({"int": number})  # type: ignore[attr-defined]
    return made


def _take_random_numbers(count: int) -> list[int]:
    while len(_random_numbers) < count:
        _random_numbers.extend(array("I", os.urandom(_RANDOM_BYTES)))
    rest = len(_random_numbers) - count
    taken = _random_numbers[rest:]
    del _random_numbers[rest:]
    return taken


def _start_afresh() -> None:
    global _lock, _last_millisecond
    _lock, _last_millisecond = threading.Lock(), 0
    # The parent makes identifiers of the same.
    _random_numbers.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_start_afresh)
