"""A check that cannot fail is none: each invariant finds a violation made by hand, and is content without it."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from django_jobs.states import State
from tests.acceptance.faults.effects import Log, Run
from tests.acceptance.faults.invariants import INVARIANTS, STALLED, History, Interruption, Row, violations

pytestmark = pytest.mark.once

ONE, TWO, THREE = (UUID(int=number) for number in (1, 2, 3))


def run(job: UUID, began: float, ended: float | None, start: int = 1, key: str = "-", pid: int = 7) -> Run:
    return Run(job=job, start=start, pid=pid, key=key, began=began, ended=ended)


# A job that succeeded at once, one whose first worker died, and an atomic one.
GOOD = History(
    rows={
        ONE: Row(id=ONE),
        TWO: Row(id=TWO, fence=2, starts=2, stalls=1),
        THREE: Row(id=THREE, name="leave_one_effect"),
    },
    runs=[run(ONE, 1, 2), run(TWO, 2, None, key="k"), run(TWO, 5, 6, start=2, key="k"), run(THREE, 7, 8)],
    interruptions=[Interruption(job=TWO, outcome=STALLED, at=4)],
    effects={THREE: 1},
    atomic=frozenset({THREE}),
    committed=frozenset({ONE, TWO, THREE}),
    in_order=[ONE, TWO, THREE],
)


def with_row(id: UUID, **changes: Any) -> History:
    return replace(GOOD, rows={**GOOD.rows, id: replace(GOOD.rows[id], **changes)})


def with_runs(*runs: Run) -> History:
    return replace(GOOD, runs=[*GOOD.runs, *runs])


# A process was paused between a claim and its body: that begins beside the one of whoever has the job now.
LATE = replace(GOOD, runs=[*(each for each in GOOD.runs if each.ended), run(TWO, 5.5, 5.8, key="k")])

BROKEN = {
    "a committed job is gone": ("nothing_is_lost", replace(GOOD, committed=GOOD.committed | {uuid4()})),
    "a job never ends": ("nothing_is_lost", with_row(ONE, state=State.READY)),
    "a job ends as it may not": ("nothing_is_lost", with_row(ONE, state=State.FAILED)),
    "a success without a run": ("nothing_is_lost", replace(GOOD, runs=GOOD.runs[1:])),
    "a rolled back job runs": ("nothing_runs_that_was_rolled_back", replace(GOOD, rolled_back=frozenset({ONE}))),
    "a job runs twice at once": ("no_key_runs_twice_at_once", with_runs(run(ONE, 1.5, 3, start=2))),
    "a key runs twice at once, in two jobs": ("no_key_runs_twice_at_once", with_runs(run(ONE, 5.5, 7, key="k"))),
    "a job starts beside itself before its worker counts as dead": (
        "no_key_runs_twice_at_once",
        replace(GOOD, interruptions=[Interruption(job=TWO, outcome=STALLED, at=5.5)]),
    ),
    "a job starts late beside itself, and its worker was not dead": (
        "no_key_runs_twice_at_once",
        replace(LATE, interruptions=[Interruption(job=TWO, outcome=STALLED, at=6)]),
    ),
    "a claim runs two bodies": ("no_start_begins_twice", with_runs(run(ONE, 3, 4, pid=8))),
    "an atomic job has two effects": ("atomic_jobs_leave_one_effect", replace(GOOD, effects={THREE: 2})),
    "an atomic job has no effect": ("atomic_jobs_leave_one_effect", replace(GOOD, effects={})),
    "a failed atomic job has an effect": ("atomic_jobs_leave_one_effect", with_row(THREE, state=State.FAILED)),
    "an effect of nobody": ("atomic_jobs_leave_one_effect", replace(GOOD, effects={THREE: 1, uuid4(): 1})),
    "too many attempts": ("limits_are_kept", with_row(ONE, attempt=2)),
    "too many deaths": ("limits_are_kept", with_row(ONE, stalls=5)),
    "a start without a claim": ("limits_are_kept", with_row(ONE, starts=2)),
    "a restart without a record": ("every_restart_is_explained", replace(GOOD, interruptions=[])),
    "a record without a restart": (
        "every_restart_is_explained",
        replace(GOOD, interruptions=[*GOOD.interruptions, Interruption(job=ONE, outcome="retrying", at=1)]),
    ),
    "a start that the table does not know": ("every_restart_is_explained", with_runs(run(ONE, 3, 4, start=2))),
    "a final row changes": (
        "what_has_ended_stays_as_it_is",
        replace(GOOD, ended_before={ONE: replace(GOOD.rows[ONE], result="another")}),
    ),
    "a success of nobody": ("who_ran_what_has_succeeded_is_told", with_row(ONE, owner=None)),
    "a key stays": ("nothing_is_left_behind", with_row(ONE, holds_key=True)),
    "a suspicion stays": ("nothing_is_left_behind", with_row(ONE, suspect=True)),
    "an id stays in Redis": ("nothing_is_left_behind", replace(GOOD, left_in_redis=["queue:default"])),
    "jobs begin in another order": ("order_is_kept", replace(GOOD, in_order=[TWO, ONE, THREE])),
}


@pytest.mark.parametrize("history", [GOOD, LATE], ids=["good", "late"])
def test_a_good_history_breaks_nothing(history: History):
    assert violations(history) == []


@pytest.mark.parametrize(("invariant", "history"), BROKEN.values(), ids=BROKEN)
def test_a_violation_made_by_hand_is_found(invariant: str, history: History):
    assert invariant in {each.partition(":")[0] for each in violations(history)}


def test_each_invariant_is_shown_to_fail():
    assert {invariant for invariant, _ in BROKEN.values()} == {each.__name__ for each in INVARIANTS}


def test_the_log_pairs_beginnings_and_ends_of_one_process(tmp_path):
    log = Log(tmp_path / "effects")
    log.path.write_text(f"begin {THREE} 1 7 - 1.0\n")
    log.mark()
    lines = [f"begin {ONE} 1 7 - 2.0", f"begin {TWO} 1 8 k 3.0", f"end {ONE} 1 7 - 4.0", f"end {THREE} 1 7 - 5.0"]
    with log.path.open("a") as file:
        file.write("\n".join(lines) + "\n")
    assert log.runs() == [run(ONE, 2, 4), run(TWO, 3, None, key="k", pid=8)]
