"""Stories of death: what becomes of the jobs when their worker is killed, paused, told to go, or lied to."""

import os
import signal
from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError
from django.db.models import Count

from django_jobs import enqueue_many
from django_jobs.conf import get_settings
from django_jobs.definitions.rank import rank
from django_jobs.models import Attempt, Job, Worker
from django_jobs.states import State
from django_jobs.transitions.rescuing import DIED_TOO_OFTEN
from django_jobs.transports import Bell, get_transport
from django_jobs.worker import supervisor as supervising
from django_jobs.worker.plan import Plan
from django_jobs.worker.supervisor import Supervisor
from tests.acceptance.jobs import hog, hold_up, leave, poison, stay, stay_async, work, work_async
from tests.conftest import StartWorkers
from tests.processes import Workers, worker_environment
from tests.project.jobs import add
from tests.project.models import Effect
from tests.rows import HOUR, columns, fresh, now, put
from tests.waiting import wait_until
from tests.worker.watching import Gate, all_successful, end_of, living_workers

pytestmark = pytest.mark.django_db(transaction=True)

# Nobody is declared dead for silence: what happens, happens because a parent saw its child die.
UNHEARD_OF = {"DEAD_AFTER_SECONDS": 3600}


def runs(job: Job, start: int = 1) -> Job:
    """Return the row once its body has begun, for the first time or for another."""
    begun = Effect.objects.filter(job_id=job.pk, worker__endswith=f" begins {start}")
    wait_until(begun.exists, what=f"start {start} of {job.name}")
    return fresh(job)


def runs_again(job: Job) -> Job:
    return runs(job, 2)


def worker_of(job: Job, start: int = 1) -> Worker:
    """Return the worker that runs the job."""
    owner = runs(job, start).owner
    assert owner is not None
    return Worker.objects.get(pk=owner)


def is_gone(pid: int) -> bool:
    """Tell whether a process, not one of our own children, has ended."""
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def outcomes(job: Job) -> list[tuple[int, str]]:
    return list(job.attempts.values_list("number", "outcome"))


def ledger() -> dict[int, list[tuple[UUID, str]]]:
    """Return for each process what began and ended in it, in order."""
    found: dict[int, list[tuple[UUID, str]]] = defaultdict(list)
    for job_id, text in Effect.objects.order_by("pk").values_list("job_id", "worker"):
        pid, what, _ = text.split()
        found[int(pid)].append((job_id, what))
    return found


def test_a_job_whose_process_was_killed_runs_again_because_the_parent_saw_it(start_workers: StartWorkers, gate: Gate):
    start_workers(options=UNHEARD_OF)
    job = stay.enqueue(gate.path)
    victim = worker_of(job)
    os.kill(victim.pid, signal.SIGKILL)
    again = runs_again(job)
    assert (again.attempt, again.stalls, again.suspect) == (1, 1, False)
    assert worker_of(job, 2).pid != victim.pid
    victim.refresh_from_db()
    assert victim.dead_at is not None
    assert victim.died
    gate.open()
    end = end_of(job)
    assert (end.state, end.attempt, end.starts, end.suspect) == (State.SUCCESSFUL, 1, 2, False)
    assert outcomes(job) == [(1, "stalled")]


@pytest.mark.once
def test_jobs_that_only_waited_in_the_killed_process_are_not_blamed(start_workers: StartWorkers, gate: Gate):
    start_workers("--concurrency", "1", options=UNHEARD_OF)
    # Short jobs make the worker fetch ahead.
    all_successful(enqueue_many([work.request(0) for _ in range(50)]))
    blocker, waiting = stay.enqueue(gate.path), [work.enqueue(0) for _ in range(20)]
    os.kill(worker_of(blocker).pid, signal.SIGKILL)
    gate.open()
    all_successful([blocker, *waiting])
    assert fresh(blocker).stalls == 1
    assert set(Job.objects.exclude(pk=blocker.pk).values_list("attempt", "starts", "stalls")) == {(1, 1, 0)}
    assert not Attempt.objects.exclude(job=blocker).exists()


def test_a_poison_job_fails_alone_among_two_hundred_good_ones(start_workers: StartWorkers):
    good = [(work_async if number % 2 else work).request(0.005) for number in range(200)]
    jobs = enqueue_many([*good[:100], poison.request(), *good[100:]])
    bad = jobs.pop(100)
    start_workers("--concurrency", "10", options=UNHEARD_OF)
    all_successful(jobs)
    end = end_of(bad)
    assert (end.state, end.error, end.starts, end.attempt) == (State.FAILED, DIED_TOO_OFTEN, 4, 1)
    assert outcomes(bad) == [(1, "stalled")] * 4
    # Only the first two deaths had witnesses, and they were asked once.
    assert set(Job.objects.exclude(pk=bad.pk).values_list("attempt", "suspect")) == {(1, False)}
    witnessed = Attempt.objects.exclude(job=bad).values("job").annotate(count=Count("pk"))
    assert max(witnessed.values_list("count", flat=True), default=0) <= 2
    for start in (3, 4):
        begun = Effect.objects.get(job_id=bad.pk, worker__endswith=f" begins {start}")
        assert_one_at_a_time(ledger()[int(begun.worker.split()[0])])


def assert_one_at_a_time(events: list[tuple[UUID, str]]) -> None:
    for (first, began), (second, ended) in pairwise(events):
        assert (began == "begins") <= ((second, ended) == (first, "ends")), events


@pytest.mark.once
def test_suspects_of_either_kind_run_alone(start_workers: StartWorkers):
    jobs = enqueue_many([(work_async if number % 2 else work).request(0.02) for number in range(20)])
    Job.objects.update(suspect=True, stalls=1)
    start_workers("--concurrency", "10")
    all_successful(jobs)
    for events in ledger().values():
        assert_one_at_a_time(events)
    assert not Job.objects.filter(suspect=True).exists()


@pytest.mark.once
@pytest.mark.parametrize("status", [0, 3])
def test_a_job_that_ends_the_process_is_blamed_whatever_the_exit_status(start_workers: StartWorkers, status: int):
    bad = leave.using(max_stalls=1).enqueue(status)
    good = [work.enqueue(0) for _ in range(20)]
    start_workers(options=UNHEARD_OF)
    end = end_of(bad)
    assert (end.state, end.error, end.starts) == (State.FAILED, DIED_TOO_OFTEN, 2)
    all_successful(good)


@pytest.mark.once
def test_a_burst_is_not_over_when_a_job_ends_the_process(start_workers: StartWorkers):
    bad = leave.using(max_stalls=1).enqueue(0)
    good = enqueue_many([work.request(0.005) for _ in range(50)])
    assert start_workers("--burst", options=UNHEARD_OF).wait() == 0
    assert fresh(bad).state == State.FAILED
    all_successful(good)


@pytest.mark.once
def test_a_job_that_must_not_stall_fails_at_the_first_death(start_workers: StartWorkers):
    bad = poison.using(max_stalls=0).enqueue()
    start_workers(options=UNHEARD_OF)
    end = end_of(bad)
    assert (end.state, end.error, end.starts, end.stalls) == (State.FAILED, DIED_TOO_OFTEN, 1, 1)
    assert end_of(add.enqueue(1, 1)).result == 2


def test_children_end_with_their_killed_supervisor_and_another_one_takes_their_jobs(
    start_workers: StartWorkers, gate: Gate
):
    first = start_workers("--processes", "2")
    jobs = [stay.enqueue(gate.path) for _ in range(4)]
    pids = {worker_of(job).pid for job in jobs} | {worker.pid for worker in living_workers(2)}
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    wait_until(lambda: all(map(is_gone, pids)), what="the end of the orphans")
    start_workers()
    for job in jobs:
        assert worker_of(job, 2).pid not in pids
    gate.open()
    all_successful(jobs)
    assert set(Job.objects.values_list("attempt", "starts")) == {(1, 2)}


def test_workers_paused_beyond_the_limit_come_back_as_others_and_change_nothing(
    start_workers: StartWorkers, gate: Gate
):
    paused = start_workers()
    job = stay.enqueue(gate.path)
    before = worker_of(job)
    start_workers()
    living_workers(2)
    os.killpg(paused.process.pid, signal.SIGSTOP)
    try:
        runs_again(job)
        before.refresh_from_db()
        assert before.dead_at is not None
        gate.open()
        end = end_of(job)
        assert (end.state, end.attempt, end.stalls) == (State.SUCCESSFUL, 1, 1)
    finally:
        os.killpg(paused.process.pid, signal.SIGCONT)
    wait_until(lambda: "ended too late" in paused.output(), what="an outcome that came too late")
    assert columns(fresh(job)) == columns(end)
    wait_until(lambda: Worker.objects.filter(pid=before.pid, dead_at=None).exists(), what="a new life")
    assert Worker.objects.filter(pid=before.pid).count() == 2
    assert end_of(add.enqueue(1, 1)).result == 2


@pytest.mark.once
def test_a_stopping_worker_finishes_what_runs_and_starts_nothing_more(start_workers: StartWorkers):
    workers = start_workers("--processes", "2", "--concurrency", "3")
    jobs = enqueue_many([(work_async if number % 2 else work).request(0.2) for number in range(60)])
    wait_until(lambda: Effect.objects.count() > 10, what="the first effects")
    workers.process.terminate()
    assert workers.wait() == 0
    rows = set(Job.objects.values_list("state", "attempt", "starts", "stalls", "suspect"))
    assert rows == {(State.SUCCESSFUL, 1, 1, 0, False), (State.READY, 0, 0, 0, False)}
    done = [job for job in jobs if fresh(job).state == State.SUCCESSFUL]
    events = [event for each in ledger().values() for event in each]
    assert sorted(events) == sorted((job.pk, what) for job in done for what in ("begins", "ends"))
    assert set(Worker.objects.values_list("died", flat=True)) == {False}
    assert not Worker.objects.filter(dead_at=None).exists()


@pytest.mark.once
@pytest.mark.parametrize("kind", [stay, stay_async], ids=["def", "async def"])
def test_what_outlasts_the_time_to_end_starts_elsewhere_and_no_attempt_counts(
    start_workers: StartWorkers, gate: Gate, kind: Any
):
    job = kind.enqueue(gate.path)
    first = start_workers(options={"GRACE_SECONDS": 0.2})
    runs(job)
    first.process.terminate()
    assert first.wait() == 0
    back = fresh(job)
    assert (back.state, back.attempt, back.starts, back.stalls, back.suspect) == (State.READY, 0, 1, 0, False)
    start_workers(options={"GRACE_SECONDS": 0.2})
    assert runs_again(job).attempt == 1
    assert outcomes(job) == []


@pytest.mark.once
def test_a_job_that_holds_the_interpreter_keeps_its_worker_neither_from_living_nor_from_ending(
    monkeypatch: pytest.MonkeyPatch,
):
    known = {"DJANGO_JOBS_TEST_IMPORTS": "tests.acceptance.jobs"}
    for name, value in (worker_environment({}) | known).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(supervising, "LONGEST_END_SECONDS", 0.2)
    job = hog.enqueue()
    supervisor = Supervisor(Plan(grace_seconds=0.2))
    in_rounds(supervisor, Effect.objects.exists)
    worker = worker_of(job)
    limit = timedelta(seconds=get_settings().DEAD_AFTER_SECONDS)
    in_rounds(supervisor, lambda: Worker.objects.get().beat_at > worker.beat_at + 2 * limit)
    assert (fresh(job).owner, fresh(job).starts) == (worker.pk, 1)
    supervisor.ask_to_stop()
    wait_until(lambda: supervisor.step() is None, what="the end of the supervisor")
    back = fresh(job)
    assert (back.state, back.stalls, back.suspect) == (State.READY, 1, False)


@pytest.mark.once
def test_when_the_database_is_back_a_supervisor_does_not_wait_for_its_next_heartbeat(
    monkeypatch: pytest.MonkeyPatch, settings: Any
):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "HEARTBEAT_SECONDS": 3600, "DEAD_AFTER_SECONDS": 7200}
    for name, value in worker_environment({}).items():
        monkeypatch.setenv(name, value)
    beats: list[int] = []

    def beat(using: str, ids: Collection[UUID]) -> set[UUID]:
        beats.append(len(ids))
        if len(beats) == 1:
            raise OperationalError("It is away for a moment.")
        return set(ids)

    monkeypatch.setattr(supervising, "beat", beat)
    supervisor = Supervisor(Plan())
    try:
        in_rounds(supervisor, lambda: len(beats) > 1)
        for _ in range(5):
            supervisor.step()
        # The next is due in an hour.
        assert len(beats) == 2
    finally:
        supervisor._end_all()


def in_rounds(supervisor: Supervisor, condition: Callable[[], bool]) -> None:
    """Let the supervisor do its rounds until something is so."""
    wait_until(lambda: supervisor.step() is not None and condition())


@pytest.mark.once
def test_signals_that_come_together_are_one(start_workers: StartWorkers, gate: Gate):
    """A process manager tells the whole group, and the supervisor tells its children too."""
    workers = start_workers("--processes", "2", options={"GRACE_SECONDS": 3600})
    jobs = [stay.enqueue(gate.path) for _ in range(4)]
    for job in jobs:
        runs(job)
    for _ in range(3):
        os.killpg(workers.process.pid, signal.SIGTERM)
    wait_until(lambda: add.enqueue(1, 1) and not Job.objects.ready().exclude(name=add.name).exists())
    gate.open()
    assert workers.wait() == 0
    assert {fresh(job).state for job in jobs} == {State.SUCCESSFUL}
    assert {fresh(job).starts for job in jobs} == {1}


@pytest.mark.once
def test_a_second_signal_later_hands_back_at_once_what_runs(start_workers: StartWorkers, gate: Gate):
    workers = start_workers(options={"GRACE_SECONDS": 3600})
    job = stay.enqueue(gate.path)
    runs(job)
    wait_until(lambda: is_back_when_told(workers, job), what="the job is handed back")
    assert workers.wait() == 0
    back = fresh(job)
    assert (back.state, back.attempt, back.starts) == (State.READY, 0, 1)


def is_back_when_told(workers: Workers, job: Job) -> bool:
    if fresh(job).state == State.READY:
        return True
    workers.process.terminate()
    return False


@pytest.mark.once
@pytest.mark.parametrize("processes", ["1", "3"])
def test_workers_that_are_told_to_end_while_they_start_do_so(start_workers: StartWorkers, processes: str):
    workers = start_workers("--processes", processes)
    wait_until(lambda: "processes" in workers.output(), what="the banner")
    workers.process.terminate()
    assert workers.wait() == 0


def test_a_claim_whose_answer_was_lost_is_given_back_by_its_owner(start_workers: StartWorkers):
    start_workers(options=UNHEARD_OF)
    (worker,) = living_workers()
    job = put(State.RUNNING, name=work.name, arguments="[[0],{}]", owner=worker.pk)
    end = end_of(job)
    assert (end.state, end.fence, end.attempt, end.starts, end.stalls) == (State.SUCCESSFUL, 2, 1, 1, 0)


def test_a_lost_claim_is_given_back_while_the_worker_is_busy(start_workers: StartWorkers):
    start_workers("--concurrency", "4", options=UNHEARD_OF)
    (worker,) = living_workers()
    enqueue_many([work.request(0) for _ in range(5000)])
    wait_until(lambda: Job.objects.successful().count() > 50, what="the first of many")
    job = put(State.RUNNING, name=work.name, owner=worker.pk, run_after=now() + HOUR)
    wait_until(lambda: fresh(job).state == State.READY, what="the job is given back")
    assert Job.objects.ready().exclude(pk=job.pk).exists()


@pytest.mark.once
def test_bells_of_jobs_that_are_gone_hold_up_nobody(start_workers: StartWorkers):
    due = rank(0, False, now())
    get_transport().announce([Bell(uuid4(), "default", due) for _ in range(20_000)])
    start_workers("--concurrency", "2", options=UNHEARD_OF)
    all_successful(enqueue_many([work.request(0) for _ in range(20)]))
    # All of them came before the jobs; none was rung again, and nobody has to go through them a second time.
    left = get_transport().take(uuid4(), ["default"], 1000, now(), 0)
    assert left is None or left.ids == ()


@pytest.mark.once
def test_a_job_that_holds_up_the_loop_loses_nobody(start_workers: StartWorkers):
    start_workers("--concurrency", "2", options=UNHEARD_OF)
    jobs = enqueue_many([hold_up.request(seconds) for seconds in (0, 0, 0, 0, 2.5, 2.5, 0, 0, 0, 0)])
    all_successful(jobs)
    assert end_of(hold_up.enqueue(0)).starts == 1


@pytest.mark.once
def test_workers_that_die_at_birth_are_tried_again_ever_more_rarely(start_workers: StartWorkers, tmp_path: Path):
    broken = tmp_path / "broken"
    broken.touch()
    start_workers(environment={"DJANGO_JOBS_TEST_BROKEN": str(broken)})
    job = add.enqueue(1, 1)
    wait_until(lambda: len(broken.read_text().splitlines()) == 3, what="the third birth")
    births = [float(line) for line in broken.read_text().splitlines()]
    broken.unlink()
    # From below only: a busy machine may take longer.
    for (earlier, later), pause in zip(pairwise(births), (0.5, 1), strict=True):
        assert later - earlier >= pause
    assert end_of(job).result == 2
