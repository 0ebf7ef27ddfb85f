"""Nobody is called dead lightly; and once somebody is, what he had is found, rung and told."""

import logging
from datetime import timedelta
from uuid import uuid4

import pytest

from django_jobs.definitions.outcomes import Succeeded
from django_jobs.lifecycle.rescuing import (
    claims_in_hand,
    give_back_unknown,
    judge,
    rescue_orphans,
    rescue_worker,
    say_goodbye,
)
from django_jobs.lifecycle.settling import settle
from django_jobs.models import Job, Worker
from django_jobs.signals import worker_died
from django_jobs.states import State
from django_jobs.transitions.claiming import claim_due, claim_ids
from tests.rows import NAMES, claim_of, columns, ended, fresh, new, now, put, worker

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


def silent(count):
    return [worker(beat_at=now() - MINUTE) for _ in range(count)]


def dead():
    return set(Worker.objects.filter(dead_at__isnull=False).values_list("pk", flat=True))


def test_a_worker_whose_process_is_gone_is_rescued_at_once(transport):
    me = worker()
    jobs = [put(State.RUNNING, owner=me, stalls=1) for _ in range(3)]
    other = put(State.RUNNING, owner=worker())
    assert rescue_worker("default", me, begun={jobs[0].pk}) == 3
    assert dead() == {me}
    assert [fresh(job).suspect for job in jobs] == [True, False, False]
    assert columns(fresh(other)) == columns(other)


def test_a_suspect_is_not_rung_and_starts_alone(transport):
    me = worker()
    jobs = [put(State.RUNNING, owner=me, stalls=1) for _ in range(3)]
    rescue_worker("default", me, begun={jobs[0].pk})
    assert sorted(transport.rung) == sorted(job.pk for job in jobs[1:])
    heir = worker()
    assert claim_ids("default", heir, [jobs[0].pk], NAMES) == []
    assert [claim.id for claim in claim_due("default", heir, ["default"], 9, NAMES, suspect=True)] == [jobs[0].pk]


def test_who_has_seen_its_first_death_is_rung_and_starts_anywhere(transport):
    me = worker()
    job = put(State.RUNNING, owner=me)
    rescue_worker("default", me, begun={job.pk})
    assert transport.rung == [job.pk]
    assert [claim.id for claim in claim_ids("default", worker(), [job.pk], NAMES)] == [job.pk]


def test_where_nobody_knows_what_had_begun_it_counts_for_all(transport):
    me = worker()
    jobs = [put(State.RUNNING, owner=me, stalls=1) for _ in range(3)]
    assert rescue_worker("default", me, begun=None) == 3
    assert all(fresh(job).suspect for job in jobs)
    assert transport.rung == []


def test_the_death_of_a_worker_is_told():
    seen = []

    def receiver(worker_id, rescued, **kwargs):
        seen.append((worker_id, rescued))

    worker_died.connect(receiver)
    try:
        me = worker()
        put(State.RUNNING, owner=me)
        rescue_worker("default", me, begun=set())
    finally:
        worker_died.disconnect(receiver)
    assert seen == [(me, 1)]


def test_a_job_that_stalled_too_often_is_told_as_an_error(caplog):
    me = worker()
    job = put(State.RUNNING, owner=me, max_stalls=0)
    rescue_worker("default", me, begun=None)
    assert [(record.levelno, str(job.pk) in record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, True)
    ]


def test_a_worker_with_more_jobs_than_one_transaction_holds_is_rescued_whole():
    me = worker()
    Job.objects.bulk_create([new(State.RUNNING, owner=me) for _ in range(1200)])
    assert rescue_worker("default", me, begun=set()) == 1200
    assert Job.objects.running().count() == 0


def test_a_late_result_of_a_dead_worker_changes_nothing(caplog):
    me = worker()
    job = put(State.RUNNING, owner=me)
    late = ended(claim_of(job), Succeeded('"late"'))
    rescue_worker("default", me, begun={job.pk})
    before = columns(fresh(job))
    settled = settle("default", [late])
    assert (settled.written, settled.fenced, settled.locked) == ([], [late], [])
    assert columns(fresh(job)) == before
    assert "ended too late" in caplog.text


def test_who_says_goodbye_is_dead_but_has_not_died():
    me = worker()
    say_goodbye("default", me)
    assert dead() == {me}
    assert not Worker.objects.get(pk=me).died


def test_who_is_silent_too_long_counts_as_dead(caplog):
    (late,) = silent(1)
    alive = worker()
    assert judge("default", 30, set()) == ([late], set())
    assert dead() == {late}
    assert Worker.objects.get(pk=alive).dead_at is None
    assert "1 workers have not been heard of for 30 s" in caplog.text


def test_who_beats_in_time_is_not_judged():
    worker(beat_at=now() - timedelta(seconds=20))
    assert judge("default", 30, set()) == ([], set())


@pytest.mark.parametrize(
    ("late", "alive", "condemned"),
    [(3, 0, True), (4, 0, False), (4, 3, False), (4, 4, True), (10, 9, False), (10, 10, True)],
)
def test_more_than_three_and_more_than_half_at_once_are_only_suspected(late, alive, condemned):
    late_ones = set(silent(late))
    for _ in range(alive):
        worker()
    dead_now, suspected = judge("default", 30, set())
    assert (set(dead_now), suspected) == ((late_ones, set()) if condemned else (set(), late_ones))
    assert dead() == set(dead_now)


def test_those_suspected_before_are_condemned_the_second_time_and_new_ones_are_not():
    first = set(silent(4))
    _, suspected = judge("default", 30, set())
    second = set(silent(2))
    condemned, suspected = judge("default", 30, suspected)
    assert (set(condemned), suspected) == (first, second)
    assert dead() == first


def test_orphans_of_any_number_are_found_and_rung_unless_suspect(transport):
    Job.objects.bulk_create([new(State.RUNNING, owner=uuid4(), stalls=1) for _ in range(700)])
    assert rescue_orphans("default") == 700
    assert Job.objects.filter(state=State.READY, suspect=True).count() == 700
    assert transport.rung == []


def test_rows_that_a_worker_does_not_know_it_has_go_back_and_ring(transport, caplog):
    me = worker()
    known, unknown, older = (put(State.RUNNING, owner=me) for _ in range(3))
    in_hand = claims_in_hand([claim_of(known), claim_of(older)])
    Job.objects.filter(pk=older.pk).update(fence=2)
    assert give_back_unknown("default", me, in_hand) == 2
    assert fresh(known).state == State.RUNNING
    assert sorted(transport.rung) == sorted([unknown.pk, older.pk])
    assert (fresh(unknown).attempt, fresh(unknown).starts, fresh(unknown).suspect) == (0, 0, False)
    assert "2 claimed jobs were unknown" in caplog.text


def test_a_worker_that_knows_all_its_rows_gives_nothing_back(transport):
    me = worker()
    job = put(State.RUNNING, owner=me)
    assert give_back_unknown("default", me, claims_in_hand([claim_of(job)])) == 0
    assert transport.announced == []


def test_what_was_asked_to_cancel_is_not_rung_when_it_is_given_back(transport):
    me = worker()
    job = put(State.RUNNING, owner=me, cancel_requested=True)
    assert give_back_unknown("default", me, set()) == 1
    assert (fresh(job).state, transport.rung) == (State.CANCELLED, [])
