"""UUIDv7 identifiers, made by the caller's process and increasing inside it (RFC 9562, method 1 of section 6.2)."""

import os
import threading
import time
import uuid
from array import array
from datetime import datetime

_COUNTER_BITS = 42
_TAIL_BITS = 32
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
    return [_assemble(first + number, tail) for number, tail in enumerate(tails, 1)]


def uuid7() -> uuid.UUID:
    """Return one identifier, greater than any that this process made before."""
    return uuid7s(1)[0]


def earliest(when: datetime) -> uuid.UUID:
    """Return what is smaller than every identifier that was made at this moment or later."""
    millisecond = max(int(when.timestamp() * 1000), 0)
    return uuid.UUID(int=(millisecond << 80) | (0x7 << 76) | (0b10 << 62))


def _assemble(stamp: int, tail: int) -> uuid.UUID:
    """Put the version and the variant between 48 bits of time, 12 and 30 of the counter, and the tail."""
    above, below = stamp >> 30, stamp & 0x3FFF_FFFF
    high = (above >> 12 << 16) | 0x7000 | (above & 0xFFF)
    return uuid.UUID(int=(high << 64) | _VARIANT | (below << _TAIL_BITS) | tail)


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
