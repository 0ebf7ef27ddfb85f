"""Chores: one of all workers does each, and what was lost is found again."""

from datetime import timedelta
from threading import Barrier
from uuid import UUID

import pytest
from django.conf import settings as django_settings

from django_jobs import cancel, clock
from django_jobs.execution.cancelling import hear, reason_of
from django_jobs.models import Chore, Job, Worker
from django_jobs.states import State
from django_jobs.transitions.chores import claim_chore
from django_jobs.transports import Transport
from django_jobs.transports.redis.connection import Server
from django_jobs.worker.board import Board
from django_jobs.worker.chores import Chores
from django_jobs.worker.incarnation import Incarnation
from django_jobs.worker.watch import QueueWatch
from tests.databases import with_jobs
from tests.rows import HOUR, fresh, now, put, worker
from tests.threads import together

THREADS, ROUNDS = 8, 20


@pytest.fixture
def chores(transport: Transport, board: Board, transactional_db: None) -> Chores:
    incarnation, watch = Incarnation("default", board, [], 1), QueueWatch("default", [])
    incarnation.register()
    watch.refresh()
    board.beat(clock.monotonic(), no_judging_until=0.0)
    return Chores(transport, incarnation, watch, board)


def taken_from(transport: Transport) -> set[UUID]:
    taken = transport.take(worker(), ["default"], 100, now(), 0)
    assert taken is not None
    return set(taken.ids)


@pytest.mark.parametrize("alias", with_jobs(django_settings.DATABASES))
@pytest.mark.django_db(transaction=True, databases=with_jobs(django_settings.DATABASES))
def test_one_of_many_claims_a_chore_that_is_due(alias: str):
    def claim_all(number: int, barrier: Barrier) -> list[bool]:
        won = []
        for round_number in range(ROUNDS):
            barrier.wait()
            # The first one to come makes the row, and the next claim of it decides.
            won.append(any(claim_chore(alias, f"chore {round_number}", 3600) for _ in range(2)))
        return won

    winners = [sum(each) for each in zip(*together(THREADS, claim_all), strict=True)]
    assert winners == [1] * ROUNDS
    assert Chore.objects.using(alias).count() == ROUNDS


@pytest.mark.django_db
def test_a_chore_is_due_again_after_its_time_or_sooner_by_who_holds_it():
    def claim(seconds: float, *, renew: bool = False) -> bool:
        return claim_chore("default", "tidy", seconds, renew=renew)

    claim(0)
    assert claim(3600)
    assert not claim(3600)
    Chore.objects.update(due_at=now() - HOUR)
    assert claim(3600)
    assert claim(-1, renew=True)
    assert claim(3600)


def test_a_bell_that_was_lost_is_rung_again(chores: Chores, transport: Transport):
    transport.open()
    lost = put(run_after=now() - timedelta(seconds=10))
    Chore.objects.create(name="fresh sweep", due_at=now() - HOUR)
    assert chores.step() > 0
    assert taken_from(transport) == {lost.pk}


def test_a_transport_that_lost_its_memory_is_told_all_that_is_ready_at_once(chores: Chores, transport: Transport):
    old = {put(run_after=now() - HOUR).pk for _ in range(3)}
    Chore.objects.create(name="ring all", due_at=now() - HOUR)
    assert transport.is_flushed()
    chores.step()
    assert not transport.is_flushed()
    assert taken_from(transport) == old


def test_who_rings_again_does_it_for_workers_of_other_queues_too(board: Board, transport: Transport, transactional_db):
    job = put(queue_name="default")
    Chore.objects.create(name="ring all", due_at=now() - HOUR)
    incarnation, watch = Incarnation("default", board, [], 1), QueueWatch("default", ["mail"])
    incarnation.register()
    board.beat(clock.monotonic(), no_judging_until=0.0)
    Chores(transport, incarnation, watch, board).step()
    assert taken_from(transport) == {job.pk}


def test_a_transport_that_loses_its_memory_again_is_told_again_at_once(chores: Chores, transport: Transport):
    waiting = {put(run_after=now() - HOUR).pk for _ in range(3)}
    Chore.objects.create(name="ring all", due_at=now() - HOUR)
    for _ in range(3):
        chores.step()
        assert not transport.is_flushed()
        assert taken_from(transport) == waiting
        lose_memory(transport)


def lose_memory(transport: Transport) -> None:
    server: Server = vars(transport)["_server"]
    server.ask(lambda client: client.delete(vars(transport)["_keys"].epoch))


def test_jobs_of_the_silent_are_taken_back(chores: Chores):
    silent = worker(beat_at=now() - HOUR)
    job = put(State.RUNNING, owner=silent)
    Chore.objects.create(name="rescue", due_at=now() - HOUR)
    chores.step()
    assert Worker.objects.get(pk=silent).died
    assert (fresh(job).state, fresh(job).stalls) == (State.READY, 1)


def test_jobs_that_were_not_started_in_time_are_dropped(chores: Chores):
    job = put(expires_at=now() - HOUR)
    Chore.objects.create(name="expire", due_at=now() - HOUR)
    chores.step()
    assert fresh(job).state == State.CANCELLED


def test_what_runs_here_hears_that_it_was_asked_to_cancel(chores: Chores, board: Board):
    me = Worker.objects.get().pk
    mine, other = put(State.RUNNING, owner=me), put(State.RUNNING, owner=worker())
    cancel([mine, other], "The order was withdrawn.")
    board.begin(0, mine.pk)
    chores.step()
    assert reason_of((mine.pk, mine.fence)) == "The order was withdrawn."
    assert reason_of((other.pk, other.fence)) is None
    hear({})


def test_who_could_not_beat_itself_judges_nobody(chores: Chores, board: Board, settings):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "HEARTBEAT_SECONDS": 1e-6, "DEAD_AFTER_SECONDS": 1e-5}
    silent = worker(beat_at=now() - HOUR)
    Chore.objects.create(name="rescue", due_at=now() - HOUR)
    chores.step()
    assert Worker.objects.get(pk=silent).dead_at is None


def test_jobs_of_a_queue_that_ages_rise_once_in_its_time(chores: Chores, settings):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "QUEUES": {"default": {"AGEING": 600}}}
    waiting = put(run_after=now() - HOUR)
    # The first one to come makes the chore's row.
    for _ in range(4):
        chores._next["ageing"] = 0.0
        chores.step()
    assert fresh(waiting).priority == 1
    Chore.objects.filter(name="age default").update(due_at=now() - HOUR)
    for _ in range(3):
        chores._next["ageing"] = 0.0
        chores.step()
    assert fresh(waiting).priority == 2


def test_what_is_not_to_be_kept_is_pruned_and_the_next_round_is_a_minute_later(chores: Chores):
    gone, kept = (put(State.SUCCESSFUL, keep_until=now() + each).pk for each in (-HOUR, HOUR))
    Chore.objects.create(name="prune", due_at=now() - HOUR)
    for _ in range(5):
        chores._next["prune"] = 0.0
        chores.step()
    assert set(Job.objects.values_list("pk", flat=True)) == {kept}
    assert gone != kept
    rest = Chore.objects.get(name="prune").due_at - now()
    assert timedelta(seconds=50) < rest < timedelta(seconds=61)
