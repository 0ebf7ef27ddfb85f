"""What must hold of a trial when it is over, whatever the fault: each invariant is a function that finds breaches.

They look at values alone: rows as they stand in the tables, and runs as the bodies wrote them down. So a test can hand
each of them a violation made by hand, and see that it is found.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from uuid import UUID

from django_jobs.states import ENDED, State
from tests.acceptance.faults.effects import NO_KEY, Run

# The clocks of a database and of Python are read one after the other, and MariaDB's and SQLite's are coarse.
CLOCKS_DIFFER = 0.1
STALLED = "stalled"
SOMEBODY = UUID(int=1)
# Outcomes of attempts after which a job starts again.
RESTARTS = ("retrying", STALLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the table says of a job in the end."""

    id: UUID
    name: str = "plain"
    state: str = State.SUCCESSFUL
    owner: UUID | None = SOMEBODY
    fence: int = 1
    attempt: int = 1
    max_attempts: int = 1
    starts: int = 1
    stalls: int = 0
    max_stalls: int = 3
    suspect: bool = False
    holds_key: bool = False
    result: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """A recorded attempt after which the job was to start again, or which a death ended."""

    job: UUID
    outcome: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All that is known of a trial."""

    rows: Mapping[UUID, Row]
    runs: Sequence[Run] = ()
    interruptions: Sequence[Interruption] = ()
    # Effects in the database that atomic jobs have left, and which of the jobs are atomic.
    effects: Mapping[UUID, int] = field(default_factory=dict)
    atomic: frozenset[UUID] = frozenset()
    # Jobs whose transaction was committed, or rolled back, as the producer saw it.
    committed: frozenset[UUID] = frozenset()
    rolled_back: frozenset[UUID] = frozenset()
    # What a job of each kind may come to; the others succeed.
    allowed: Mapping[UUID, frozenset[str]] = field(default_factory=dict)
    # Restarts that leave no record, for which jobs: a snooze, or a hand-back of a worker that was told to end.
    unrecorded: Mapping[UUID, int] = field(default_factory=dict)
    # Rows as they were when they had ended, at an earlier look.
    ended_before: Mapping[UUID, Row] = field(default_factory=dict)
    # Keys in Redis that belong to nobody.
    left_in_redis: Sequence[str] = ()
    # Jobs that promise to begin in this order.
    in_order: Sequence[UUID] = ()
    # The database has forgotten commits: what it does not know of is no fault of ours.
    has_forgotten: bool = False


def nothing_is_lost(history: History) -> Iterator[str]:
    """Every committed job has a row and has reached a final state, one that it may come to."""
    if not history.has_forgotten:
        for id in history.committed - history.rows.keys():
            yield f"{id} was committed and is gone"
    for row in history.rows.values():
        allowed = history.allowed.get(row.id, frozenset({State.SUCCESSFUL}))
        if row.state not in ENDED:
            yield f"{row} has not ended"
        elif row.state not in allowed:
            yield f"{row} ended as none of {sorted(allowed)}"
        elif row.state == State.SUCCESSFUL and not any(
            each.job == row.id and each.ended is not None for each in history.runs
        ):
            yield f"{row} has succeeded, and no body of it ever came to its end"


def nothing_runs_that_was_rolled_back(history: History) -> Iterator[str]:
    for id in history.rolled_back & ({each.job for each in history.runs} | history.rows.keys()):
        yield f"{id} was rolled back, and has a row or has run"


def no_key_runs_twice_at_once(history: History) -> Iterator[str]:
    """Of one job, and of one idempotency key, nothing begins while another run goes on, unless that died on record."""
    deaths = _moments(history, (STALLED,))
    if history.has_forgotten:
        return
    for key, runs in _by_key(history.runs).items():
        for earlier, later in pairwise(runs):
            over = earlier.ended is not None and earlier.ended <= later.began
            # Of a claim that was dead already only the body begins: when its process is no longer paused.
            is_late = later.job == earlier.job and later.start < earlier.start
            since = float("-inf") if is_late else earlier.began
            died = any(_between(at, since, later.began) for at in deaths[earlier.job])
            if not over and not died and not _runs_anew(history, earlier, later):
                yield f"{key} began at {later} while {earlier} ran, and no death is on record between them"


def no_start_begins_twice(history: History) -> Iterator[str]:
    """Each claim is the right to run one body once."""
    if history.has_forgotten:
        return
    seen: dict[tuple[UUID, int], Run] = {}
    for run in history.runs:
        before = seen.setdefault((run.job, run.start), run)
        if before is not run and not _runs_anew(history, before, run):
            yield f"start {run.start} of {run.job} began twice: {before} and {run}"


def atomic_jobs_leave_one_effect(history: History) -> Iterator[str]:
    for id in history.atomic & history.rows.keys():
        wanted = int(history.rows[id].state == State.SUCCESSFUL)
        if history.effects.get(id, 0) != wanted:
            yield f"{history.rows[id]} left {history.effects.get(id, 0)} effects instead of {wanted}"
    for id in history.effects.keys() - history.rows.keys():
        yield f"{id} left an effect and has no row"


def limits_are_kept(history: History) -> Iterator[str]:
    for row in history.rows.values():
        if row.attempt > row.max_attempts:
            yield f"{row} was attempted more often than allowed"
        if row.stalls > row.max_stalls + 1:
            yield f"{row} went on after more deaths than allowed"
        if row.starts > row.fence:
            yield f"{row} started more often than it was claimed"


def every_restart_is_explained(history: History) -> Iterator[str]:
    """What started again was tried again, or its worker died, and that is recorded."""
    if history.has_forgotten:
        return
    counted = Counter(each.job for each in history.interruptions if each.outcome in RESTARTS)
    for row in history.rows.values():
        # The death that was once too often is on record as well, and nothing started after it.
        restarts = row.starts - 1 + (row.state == State.FAILED and row.stalls > row.max_stalls)
        unexplained = restarts - counted[row.id]
        # Who was cancelled while it waited for its next attempt did not start again.
        fewest = -1 if row.state == State.CANCELLED else 0
        if not fewest <= unexplained <= history.unrecorded.get(row.id, 0) and row.starts:
            yield f"{row} has {restarts} restarts, of which {counted[row.id]} are recorded"
        begun = {each.start for each in history.runs if each.job == row.id}
        if max(begun, default=0) > row.starts:
            yield f"{row} ran its start {max(begun)}, which the table does not know of"


def what_has_ended_stays_as_it_is(history: History) -> Iterator[str]:
    for id, before in history.ended_before.items():
        now = history.rows.get(id)
        if now is not None and now != before and not history.has_forgotten:
            yield f"{before} had ended and is now {now}"


def who_ran_what_has_succeeded_is_told(history: History) -> Iterator[str]:
    for row in history.rows.values():
        if row.state == State.SUCCESSFUL and row.owner is None:
            yield f"{row} was run by nobody"


def nothing_is_left_behind(history: History) -> Iterator[str]:
    """Who has ended is suspected of nothing and holds no key; and Redis holds nothing."""
    for row in history.rows.values():
        if row.suspect or row.holds_key:
            yield f"{row} still has a suspicion or a key"
    for key in history.left_in_redis:
        yield f"{key} is left in Redis"


def order_is_kept(history: History) -> Iterator[str]:
    """With one worker and one job at a time the order in which jobs begin is exact.

    But for what a dead worker had claimed and not begun: while that comes back, others may have been claimed.
    """
    came_back = {row.id for row in history.rows.values() if row.fence > row.starts}
    wanted = {id: position for position, id in enumerate(history.in_order) if id not in came_back}
    first = {run.job: run for run in reversed(history.runs) if run.job in wanted}
    began = sorted((run for run in first.values() if run.start == 1), key=lambda run: run.began)
    for earlier, later in pairwise(began):
        if wanted[earlier.job] > wanted[later.job]:
            yield f"{earlier} began before {later}"


INVARIANTS: tuple[Callable[[History], Iterator[str]], ...] = (
    nothing_is_lost,
    nothing_runs_that_was_rolled_back,
    no_key_runs_twice_at_once,
    no_start_begins_twice,
    atomic_jobs_leave_one_effect,
    limits_are_kept,
    every_restart_is_explained,
    what_has_ended_stays_as_it_is,
    who_ran_what_has_succeeded_is_told,
    nothing_is_left_behind,
    order_is_kept,
)


def violations(history: History) -> list[str]:
    """Return every breach of every invariant, each with the invariant's name."""
    return [f"{invariant.__name__}: {breach}" for invariant in INVARIANTS for breach in invariant(history)]


def _by_key(runs: Sequence[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda each: each.began):
        found[str(run.job) if run.key == NO_KEY else run.key].append(run)
    return found


def _moments(history: History, outcomes: Sequence[str]) -> dict[UUID, list[float]]:
    found: dict[UUID, list[float]] = defaultdict(list)
    for each in history.interruptions:
        if each.outcome in outcomes:
            found[each.job].append(each.at)
    return found


def _between(at: float, first: float, last: float) -> bool:
    return first - CLOCKS_DIFFER <= at <= last + CLOCKS_DIFFER


def _runs_anew(history: History, earlier: Run, later: Run) -> bool:
    """Tell whether the body of an atomic job runs again at once, for its transaction met another and was undone."""
    return earlier.job in history.atomic and (earlier.job, earlier.start, earlier.pid) == (
        later.job,
        later.start,
        later.pid,
    )
