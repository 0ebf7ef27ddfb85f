"""Each move of the table in states.py: it takes a job from its sources to its target, and leaves every other alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from django_jobs.definitions.outcomes import Failed, GivenBack, Outcome, Retried, Snoozed, Stopped, Succeeded
from django_jobs.models import Job, Worker
from django_jobs.states import (
    CANCEL,
    CLAIM,
    ENDED,
    EXPIRE,
    FAIL,
    GIVE_BACK,
    MOVES,
    RELEASE,
    RESCUE,
    RETRY,
    RETRY_BY_HAND,
    SNOOZE,
    STOP,
    SUCCEED,
    Move,
    State,
)
from django_jobs.transitions import rescuing, steering
from django_jobs.transitions.claiming import claim_ids
from django_jobs.transitions.ending import end, move_of
from tests.rows import ERROR, NAMES, claim_of, columns, ended, fresh, now, put, worker

pytestmark = pytest.mark.django_db

OUTCOMES: dict[Move, Outcome] = {
    SUCCEED: Succeeded('"done"'),
    FAIL: Failed(ERROR),
    RETRY: Retried(ERROR, 60.0),
    SNOOZE: Snoozed(60.0),
    STOP: Stopped("Not needed any more."),
    GIVE_BACK: GivenBack(begun=True),
}


def ends_as(outcome: Outcome) -> Callable[[Job], int]:
    return lambda job: len(end("default", [ended(claim_of(job), outcome)], ended(claim_of(job), outcome).finished))


def rescues(job: Job) -> int:
    Worker.objects.update(dead_at=now())
    return len(rescuing.rescue("default", [job.pk]))


def cancels(job: Job) -> int:
    moved = steering.cancel("default", [job.pk], "Not needed.")
    return len(moved) - Job.objects.filter(cancel_requested=True).count()  # those it only asked


ACTS: dict[Move, Callable[[Job], int]] = {
    CLAIM: lambda job: len(claim_ids("default", worker(), [job.pk], NAMES)),
    **{move: ends_as(outcome) for move, outcome in OUTCOMES.items()},
    RESCUE: rescues,
    CANCEL: cancels,
    RETRY_BY_HAND: lambda job: len(steering.retry("default", [job.pk], reset_attempts=True)),
}
NOT_BUILT_YET = {RELEASE}
# In test_expiring: what may expire is in no other way ready.
TRIED_APART = {EXPIRE}


def put_in(state: State, **fields: Any) -> Job:
    """Put a job whose row would satisfy every other guard: it has an owner and a fence whatever its state."""
    owned: dict[str, Any] = {"owner": worker(), "fence": 3, "attempt": 1, "starts": 1}
    return put(state, **owned | fields)


def moves(among: set[Move]) -> list[object]:
    return [pytest.param(move, id=move.name) for move in MOVES if move in among]


def test_every_move_of_the_table_is_tried_here():
    assert set(ACTS) | NOT_BUILT_YET | TRIED_APART == set(MOVES)
    assert not set(ACTS) & (NOT_BUILT_YET | TRIED_APART)


def test_every_outcome_has_its_move():
    assert [move_of(outcome) for outcome in OUTCOMES.values()] == list(OUTCOMES)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("move", moves(set(ACTS)))
def test_a_move_takes_jobs_from_its_sources_alone(move, state):
    job = put_in(state)
    before = columns(job)
    moved = ACTS[move](job)
    after = fresh(job)
    if state in move.sources:
        assert (moved, after.state) == (1, move.target)
    elif (move, state) == (CANCEL, State.RUNNING):
        asked = {"cancel_requested": True, "cancel_requested_at": after.cancel_requested_at, "error": "Not needed."}
        assert (moved, columns(after)) == (0, before | asked)
    else:
        assert (moved, columns(after)) == (0, before)


@pytest.mark.parametrize("move", moves(set(ACTS)))
def test_a_move_changes_no_other_job(move):
    others = [put_in(state) for state in State]
    before = [columns(other) for other in others]
    assert ACTS[move](put_in(move.sources[0])) == 1
    assert [columns(fresh(other)) for other in others] == before


@pytest.mark.parametrize("move", moves(set(ACTS)))
def test_a_move_for_a_job_that_is_gone_moves_nothing(move):
    job = put_in(move.sources[0])
    Job.objects.all().delete()
    assert ACTS[move](job) == 0


@pytest.mark.parametrize("move", moves(set(ACTS) - {CLAIM}))
def test_only_a_claim_changes_the_fence(move):
    job = put_in(move.sources[0])
    ACTS[move](job)
    assert fresh(job).fence == job.fence


@pytest.mark.parametrize("move", moves({move for move in ACTS if move.sources == (State.RUNNING,)}))
def test_whatever_ends_a_run_lets_go_of_the_job(move):
    job = put_in(State.RUNNING, deadline_at=now())
    ACTS[move](job)
    assert (fresh(job).owner, fresh(job).deadline_at) == (job.owner if move.target in ENDED else None, None)


def test_what_is_run_again_by_hand_belongs_to_nobody():
    job = put_in(State.FAILED)
    ACTS[RETRY_BY_HAND](job)
    assert fresh(job).owner is None


@pytest.mark.parametrize("move", moves({move for move in ACTS if move.sources == (State.RUNNING,)}))
def test_a_cancel_that_was_asked_for_wins_over_every_end_but_success(move):
    job = put_in(State.RUNNING, cancel_requested=True, error="The order was withdrawn.")
    assert ACTS[move](job) == 1
    after = fresh(job)
    assert after.state == (State.SUCCESSFUL if move is SUCCEED else State.CANCELLED)
    assert after.finished_at is not None
    assert after.error == ("" if move is SUCCEED else "The order was withdrawn.")


def test_a_job_that_is_asked_to_cancel_does_not_start():
    job = put_in(State.READY, cancel_requested=True)
    assert ACTS[CLAIM](job) == 0


@pytest.mark.parametrize("move", moves(set(OUTCOMES)))
@pytest.mark.parametrize(
    "wrong", [{"fence": 2}, {"fence": 4}, {"fence": 0}, {"owner": uuid4()}], ids=["older", "newer", "none", "other"]
)
def test_who_lost_a_claim_cannot_end_the_job(move, wrong):
    job = put_in(State.RUNNING)
    claim = replace(claim_of(job), **wrong)
    late = ended(claim, OUTCOMES[move])
    assert end("default", [late], late.finished) == []
    assert columns(fresh(job)) == columns(job)
    assert not job.attempts.exists()


@pytest.mark.parametrize("second", moves(set(OUTCOMES)))
@pytest.mark.parametrize("first", moves(set(OUTCOMES)))
def test_a_job_ends_once(first, second):
    job = put_in(State.RUNNING)
    assert ACTS[first](job) == 1
    after = columns(fresh(job))
    assert ACTS[second](job) == 0
    assert columns(fresh(job)) == after
