"""How a supervisor and its children stand, as it saw them in its last round: what probes and systemd are told of."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django_jobs import clock
from django_jobs.conf import get_settings
from django_jobs.worker.births import Child

# Longer than the database may keep it waiting: who restarts it for that helps nobody.
LONGEST_ROUND_SECONDS = 120.0
# Beyond its own limit a child is killed and replaced by its supervisor.
TOLERANCE_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStanding:
    """One child. Times are monotonic seconds; `turned_at`: when its loop last moved."""

    pid: int
    worker: UUID | None
    turned_at: float
    running: int
    concurrency: int
    is_quiet: bool
    is_leaving: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The supervisor and all of them, at one moment."""

    seen_at: float
    children: tuple[ChildStanding, ...]
    # How many there shall be.
    wanted: int
    last_beat: float
    is_stopping: bool
    # Whether children are on their way to be replaced by fresh ones.
    is_reloading: bool

    @classmethod
    def of(
        cls, children: Sequence[Child], *, wanted: int, last_beat: float, is_stopping: bool, is_reloading: bool
    ) -> "Standing":
        """Look at the children's boards."""
        return cls(
            seen_at=clock.monotonic(),
            children=tuple(map(_look_at, children)),
            wanted=wanted,
            last_beat=last_beat,
            is_stopping=is_stopping,
            is_reloading=is_reloading,
        )

    @property
    def is_live(self) -> bool:
        """Whether the supervisor goes round and every child's loop turns, or a body may be what holds it."""
        limit = get_settings().DEAD_AFTER_SECONDS + TOLERANCE_SECONDS
        turn = all(each.running or self.seen_at - each.turned_at < limit for each in self.children)
        return turn and clock.monotonic() - self.seen_at < LONGEST_ROUND_SECONDS

    @property
    def is_ready(self) -> bool:
        """Whether all that shall be there are registered, and the database has lately heard that they live."""
        registered = sum(each.worker is not None and not each.is_leaving for each in self.children)
        is_heard = clock.monotonic() - self.last_beat < get_settings().DEAD_AFTER_SECONDS / 2
        return not self.is_stopping and registered >= self.wanted and is_heard and self.is_live

    @property
    def running(self) -> int:
        return sum(each.running for each in self.children)

    @property
    def is_quiet(self) -> bool:
        return bool(self.children) and all(each.is_quiet for each in self.children)

    def told(self) -> dict[str, object]:
        """Return it for machines."""
        now = clock.monotonic()
        return {
            "live": self.is_live,
            "ready": self.is_ready,
            "pid": os.getpid(),
            "stopping": self.is_stopping,
            "seconds_since_round": round(now - self.seen_at, 3),
            "seconds_since_beat": round(now - self.last_beat, 3),
            "workers_wanted": self.wanted,
            "workers": [
                {
                    "id": None if each.worker is None else str(each.worker),
                    "pid": each.pid,
                    "running": each.running,
                    "concurrency": each.concurrency,
                    "quiet": each.is_quiet,
                    "leaving": each.is_leaving,
                    "seconds_since_turn": round(self.seen_at - each.turned_at, 3),
                }
                for each in self.children
            ],
        }


# Told in each round of the supervisor, at least once a second. It must not keep the supervisor waiting.
Listener = Callable[[Standing], None]


def _look_at(child: Child) -> ChildStanding:
    board = child.board
    return ChildStanding(
        pid=child.process.pid,
        worker=board.worker,
        turned_at=max(board.last_tick, child.started_at),
        running=len(board.running()),
        concurrency=board.concurrency or child.plan.concurrency,
        is_quiet=board.is_quiet,
        is_leaving=child.is_relieved,
    )
