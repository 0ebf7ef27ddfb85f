"""UUIDv7 identifiers, made by the caller's process and increasing inside it (RFC 9562, method 1 of section 6.2)."""

import os
import threading
import time
import uuid
from datetime import datetime

_COUNTER_BITS = 42
_TAIL_BITS = 32

_lock = threading.Lock()
_last_millisecond = 0
_counter = 0


def uuid7s(count: int) -> list[uuid.UUID]:
    """Return `count` identifiers, each greater than any that this process made before."""
    global _last_millisecond, _counter
    tails = os.urandom(4 * count)
    with _lock:
        millisecond = time.time_ns() // 1_000_000
        if millisecond > _last_millisecond:
            _last_millisecond = millisecond
            # The top bit starts clear, so that the counter has room to grow inside the millisecond.
            _counter = int.from_bytes(os.urandom(6)) >> (48 - _COUNTER_BITS + 1)
        first = (_last_millisecond << _COUNTER_BITS) | _counter
        last = first + count
        _last_millisecond, _counter = last >> _COUNTER_BITS, last & ((1 << _COUNTER_BITS) - 1)
    return [_assemble(first + 1 + index, tails[4 * index : 4 * index + 4]) for index in range(count)]


def uuid7() -> uuid.UUID:
    """Return one identifier, greater than any that this process made before."""
    return uuid7s(1)[0]


def earliest(when: datetime) -> uuid.UUID:
    """Return what is smaller than every identifier that was made at this moment or later."""
    millisecond = max(int(when.timestamp() * 1000), 0)
    return uuid.UUID(int=(millisecond << 80) | (0x7 << 76) | (0b10 << 62))


def _assemble(stamp: int, tail: bytes) -> uuid.UUID:
    millisecond, counter = stamp >> _COUNTER_BITS, stamp & ((1 << _COUNTER_BITS) - 1)
    high = (millisecond << 16) | 0x7000 | (counter >> 30)
    low = (0b10 << 62) | ((counter & ((1 << 30) - 1)) << _TAIL_BITS) | int.from_bytes(tail)
    return uuid.UUID(int=(high << 64) | low)


def _start_afresh() -> None:
    global _lock, _last_millisecond
    _lock, _last_millisecond = threading.Lock(), 0


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_start_afresh)
