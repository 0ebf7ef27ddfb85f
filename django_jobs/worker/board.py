"""The board: a small piece of memory that a supervisor and one child share.

The child writes which bodies run, and that its loop turns; the supervisor writes when it last beat for the child.
Each field has one writer. It survives the child: that is how the supervisor knows whom to blame.
"""

import itertools
import math
import mmap
import os
import struct
import tempfile
from collections.abc import Sequence
from uuid import UUID

from django_jobs import clock
from django_jobs.definitions.batches import MOST_MEMBERS

_WORKER = struct.Struct("=16s")
_TIME = struct.Struct("=d")
_COUNT = struct.Struct("=Q")
_SLOT = struct.Struct("=16sdd")
# Behind all slots, for each: how many others its body runs for, and room for their ids. Memory that is never written
# to takes none.
_ID_SIZE = 16
_OTHERS_SIZE = _COUNT.size + MOST_MEMBERS * _ID_SIZE

(
    _WORKER_AT,
    _BEAT_AT,
    _NO_JUDGING_AT,
    _TICK_AT,
    _DEAD_AT,
    _ENDED_AT,
    _FAILED_AT,
    _LEFT_AT,
    _HURRY_AT,
    _STOP_AT,
    _RELIEF_AT,
    _DISMISSED_AT,
    _CONCURRENCY_AT,
    _QUIET_AT,
    _LAST_BEGUN_AT,
) = range(0, 240, 16)
# More than one child ever has in hand, so that whatever began and is not written down is among them.
_LAST_BEGUN = 2048
_SLOTS_AT = _LAST_BEGUN_AT + _LAST_BEGUN * _WORKER.size
_NOBODY = b"\0" * 16
# Threads, coroutines and sandboxes have slots of their own.
KINDS = 3


def make_board_file(slots: int) -> int:
    """Return the descriptor of new shared memory for a board with so many slots; a child inherits it."""
    size = _SLOTS_AT + slots * (_SLOT.size + _OTHERS_SIZE)
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("django_jobs")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


class Board:
    """One child's board, opened by either side. Times are this host's monotonic seconds, the same in every process."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        self._begun = itertools.count()
        self.slots = (len(self._memory) - _SLOTS_AT) // (_SLOT.size + _OTHERS_SIZE)

    # Written by the child.

    def set_worker(self, worker: UUID) -> None:
        """Say under which incarnation the child works from now on."""
        _WORKER.pack_into(self._memory, _WORKER_AT, worker.bytes)

    def begin(self, slot: int, job: UUID, timeout: float | None = None, others: Sequence[UUID] = ()) -> None:
        """Say that the body of a job, and of these others, starts in a slot, and how many seconds it may take."""
        present = clock.monotonic()
        deadline = math.inf if timeout is None else present + timeout
        if others or self._count_others(slot):
            self._set_others(slot, others)
        _SLOT.pack_into(self._memory, _SLOTS_AT + slot * _SLOT.size, job.bytes, present, deadline)
        for each in (job, *others):
            place = next(self._begun) % _LAST_BEGUN
            _WORKER.pack_into(self._memory, _LAST_BEGUN_AT + place * _WORKER.size, each.bytes)

    def end(self, slot: int) -> None:
        """Say that the body in a slot is over."""
        _SLOT.pack_into(self._memory, _SLOTS_AT + slot * _SLOT.size, _NOBODY, 0.0, math.inf)

    def tick(self) -> None:
        """Say that the child's loop turns."""
        _TIME.pack_into(self._memory, _TICK_AT, clock.monotonic())

    def count(self, ended: int, failed: int) -> None:
        """Say how many attempts have ended and how many jobs have failed since the start."""
        _COUNT.pack_into(self._memory, _ENDED_AT, ended)
        _COUNT.pack_into(self._memory, _FAILED_AT, failed)

    def leave(self) -> None:
        """Say that the child has nothing in hand any more and has said goodbye: its end is no death."""
        _COUNT.pack_into(self._memory, _LEFT_AT, 1)

    def ask_for_relief(self) -> None:
        """Say that another process is to take the child's place; until then it works on."""
        _COUNT.pack_into(self._memory, _RELIEF_AT, 1)

    def dismiss(self) -> None:
        """Say that nobody is to take the child's place."""
        _COUNT.pack_into(self._memory, _DISMISSED_AT, 1)

    def obey(self, concurrency: int, quiet: bool) -> None:
        """Say how many jobs run here at once now, and whether nothing new is taken: so it goes on in a successor."""
        _COUNT.pack_into(self._memory, _CONCURRENCY_AT, concurrency)
        _COUNT.pack_into(self._memory, _QUIET_AT, quiet)

    # Written by the supervisor.

    def beat(self, sent_at: float, no_judging_until: float) -> None:
        """Say that a beat for the child has reached the database, and when it was sent: not later than it is dated."""
        _TIME.pack_into(self._memory, _BEAT_AT, sent_at)
        _TIME.pack_into(self._memory, _NO_JUDGING_AT, no_judging_until)

    def declare_dead(self, worker: UUID) -> None:
        """Tell the child that this incarnation counts as dead; by now it may already work under another."""
        _WORKER.pack_into(self._memory, _DEAD_AT, worker.bytes)

    def hurry(self) -> None:
        """Tell the child not to wait any longer for what still runs."""
        _COUNT.pack_into(self._memory, _HURRY_AT, 1)

    def stop(self) -> None:
        """Tell the child that everybody stops: the time that what runs may still take begins now."""
        _TIME.pack_into(self._memory, _STOP_AT, clock.monotonic())

    # Read by both.

    @property
    def worker(self) -> UUID | None:
        return self._worker(_WORKER_AT)

    @property
    def is_declared_dead(self) -> bool:
        dead = self._worker(_DEAD_AT)
        return dead is not None and dead == self.worker

    @property
    def has_left(self) -> bool:
        return bool(_COUNT.unpack_from(self._memory, _LEFT_AT)[0])

    @property
    def is_hurried(self) -> bool:
        return bool(_COUNT.unpack_from(self._memory, _HURRY_AT)[0])

    @property
    def stop_asked_at(self) -> float | None:
        return float(_TIME.unpack_from(self._memory, _STOP_AT)[0]) or None

    @property
    def wants_relief(self) -> bool:
        return bool(_COUNT.unpack_from(self._memory, _RELIEF_AT)[0])

    @property
    def is_dismissed(self) -> bool:
        return bool(_COUNT.unpack_from(self._memory, _DISMISSED_AT)[0])

    @property
    def concurrency(self) -> int:
        return int(_COUNT.unpack_from(self._memory, _CONCURRENCY_AT)[0])

    @property
    def is_quiet(self) -> bool:
        return bool(_COUNT.unpack_from(self._memory, _QUIET_AT)[0])

    @property
    def last_beat(self) -> float:
        return float(_TIME.unpack_from(self._memory, _BEAT_AT)[0])

    @property
    def no_judging_until(self) -> float:
        return float(_TIME.unpack_from(self._memory, _NO_JUDGING_AT)[0])

    @property
    def last_tick(self) -> float:
        return float(_TIME.unpack_from(self._memory, _TICK_AT)[0])

    @property
    def ended(self) -> int:
        return int(_COUNT.unpack_from(self._memory, _ENDED_AT)[0])

    @property
    def failed(self) -> int:
        return int(_COUNT.unpack_from(self._memory, _FAILED_AT)[0])

    def running(self) -> dict[UUID, float]:
        """Return the jobs whose bodies run, and since when."""
        return {job: since for jobs, since, _ in self._slots() for job in jobs}

    def begun(self) -> set[UUID]:
        """Return the jobs whose bodies run, and those whose bodies began last: some may have ended unrecorded.

        One that ran here before and was claimed again is among them too: rather blamed once too often than run again
        without a record.
        """
        places = range(_LAST_BEGUN_AT, _SLOTS_AT, _WORKER.size)
        last = {job for job in map(self._worker, places) if job is not None}
        return last | self.running().keys()

    def overdue(self, seconds: float) -> list[UUID]:
        """Return the jobs whose bodies run although their time was up so many seconds ago."""
        latest = clock.monotonic() - seconds
        return [job for jobs, _, deadline in self._slots() if deadline < latest for job in jobs]

    def close(self) -> None:
        self._memory.close()

    def _slots(self) -> list[tuple[list[UUID], float, float]]:
        slots = _SLOT.iter_unpack(self._memory[_SLOTS_AT : self._others_at(0)])
        return [
            ([UUID(bytes=raw), *self._others(slot)], since, deadline)
            for slot, (raw, since, deadline) in enumerate(slots)
            if raw != _NOBODY
        ]

    def _others_at(self, slot: int) -> int:
        return _SLOTS_AT + self.slots * _SLOT.size + slot * _OTHERS_SIZE

    def _count_others(self, slot: int) -> int:
        return int(_COUNT.unpack_from(self._memory, self._others_at(slot))[0])

    def _set_others(self, slot: int, others: Sequence[UUID]) -> None:
        start = self._others_at(slot) + _COUNT.size
        self._memory[start : start + len(others) * _ID_SIZE] = b"".join(each.bytes for each in others)
        # After them: whoever dies in between leaves nothing that could be taken for an id.
        _COUNT.pack_into(self._memory, self._others_at(slot), len(others))

    def _others(self, slot: int) -> list[UUID]:
        start = self._others_at(slot) + _COUNT.size
        ids = self._memory[start : start + self._count_others(slot) * _ID_SIZE]
        return [UUID(bytes=ids[at : at + _ID_SIZE]) for at in range(0, len(ids), _ID_SIZE)]

    def _worker(self, place: int) -> UUID | None:
        (raw,) = _WORKER.unpack_from(self._memory, place)
        return None if raw == _NOBODY else UUID(bytes=raw)
