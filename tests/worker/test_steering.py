"""Workers that people steer while they run: quiet, resume, another concurrency, stop, restart, recycling."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from django.core.management import call_command

from django_jobs import enqueue_many
from django_jobs.lifecycle import workers as steering
from django_jobs.lifecycle.workers import Wish
from django_jobs.models import Job, Worker
from django_jobs.states import State
from tests.conftest import StartWorkers
from tests.project.jobs import add, hoard, leave_effect, meet, meet_async, wait_at
from tests.rows import fresh
from tests.waiting import wait_until
from tests.worker.watching import Gate, all_successful, end_of, living_workers, runs

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

LOUD = {"DJANGO_JOBS_TEST_LOG": "INFO"}


def quiet_workers(count: int) -> list[UUID]:
    """Return the workers that are quiet and have nothing in hand, once there are so many."""
    quiet = Worker.objects.filter(dead_at=None, quiet=True)
    wait_until(lambda: quiet.count() == count, what=f"{count} quiet workers")
    return list(quiet.values_list("pk", flat=True))


def others_than(*before: Worker) -> list[Worker]:
    """Return the workers that live when none of these does any more."""
    gone = Worker.objects.filter(pk__in=[each.pk for each in before], dead_at=None)
    wait_until(lambda: not gone.exists(), what="the end of the former workers")
    return living_workers(len(before))


def test_a_quiet_worker_ends_what_it_runs_and_takes_nothing_new_until_it_resumes(
    start_workers: StartWorkers, gate: Gate
):
    workers = start_workers("--concurrency", "2", environment=LOUD)
    running = runs(wait_at.enqueue(gate.path))
    (worker,) = living_workers()
    assert steering.set_quiet("default", [worker.pk], quiet=True) == 1
    wait_until(lambda: "takes nothing new" in workers.output(), what="the worker hears it")
    waiting = enqueue_many([leave_effect.request() for _ in range(5)])
    gate.open()
    assert end_of(running).state == State.SUCCESSFUL
    # A second worker that serves the same queue tells how long is long enough.
    other = start_workers()
    all_successful(waiting)
    assert {None, worker.pk}.isdisjoint(fresh(job).owner for job in waiting)
    assert other.stop() == 0
    late = add.enqueue(1, 1)
    assert steering.set_quiet("default", [worker.pk], quiet=False) == 1
    assert end_of(late).result == 2
    assert living_workers()[0].pid == worker.pid


@pytest.mark.parametrize("meeting", [meet, meet_async], ids=["def", "async def"])
def test_more_jobs_run_at_once_as_soon_as_a_worker_is_told_so(start_workers: StartWorkers, meeting):
    start_workers("--concurrency", "1")
    end_of(add.enqueue(1, 1))
    jobs = enqueue_many([meeting.request(4) for _ in range(4)])
    (worker,) = living_workers()
    assert steering.resize("default", [worker.pk], 4) == 1
    all_successful(jobs)


def test_fewer_jobs_run_at_once_after_those_that_run(start_workers: StartWorkers, gate: Gate):
    workers = start_workers("--concurrency", "4", environment=LOUD)
    first = [runs(wait_at.enqueue(gate.path)) for _ in range(4)]
    (worker,) = living_workers()
    steering.resize("default", [worker.pk], 1)
    wait_until(lambda: "runs 1 jobs at once from now on" in workers.output(), what="the worker hears it")
    gate.open()
    all_successful(first)
    second_gate = Gate(Path(f"{gate.path}2"))
    second = [wait_at.enqueue(second_gate.path) for _ in range(3)]
    seen = set()

    def in_hand() -> int:
        return Job.objects.running().count()

    wait_until(lambda: in_hand() == 1, what="the next job")
    for _ in range(20):
        seen.add(in_hand())
    second_gate.open()
    all_successful(second)
    assert seen == {1}


def test_what_was_asked_of_a_worker_holds_for_the_one_that_takes_its_place(start_workers: StartWorkers):
    workers = start_workers(environment=LOUD)
    (worker,) = living_workers()
    steering.resize("default", [worker.pk], 3)
    steering.set_quiet("default", [worker.pk], quiet=True)
    wait_until(lambda: "takes nothing new" in workers.output(), what="the worker hears it")
    os.kill(worker.pid, signal.SIGKILL)
    (successor,) = others_than(worker)
    assert (successor.concurrency, successor.quiet) == (3, True)


def test_a_stopped_worker_is_not_replaced_and_with_the_last_one_the_command_ends(start_workers: StartWorkers):
    workers = start_workers("--processes", "2", environment=LOUD)
    first, second = living_workers(2)
    assert steering.ask_to("default", [first.pk], Wish.STOP) == 1
    (left,) = living_workers(1)
    assert left.pk == second.pk
    assert end_of(add.enqueue(1, 1)).result == 2
    assert steering.ask_to("default", [second.pk], Wish.STOP) == 1
    assert workers.wait() == 0
    assert not Worker.objects.filter(died=True).exists()


def by_command(workers: list[Worker], process: int) -> None:
    call_command("jobworkers", "restart", "--all")


def by_signal(workers: list[Worker], process: int) -> None:
    os.kill(process, signal.SIGHUP)


@pytest.mark.parametrize("restart", [by_command, by_signal])
def test_a_restart_replaces_every_worker_without_a_gap_and_loses_nothing(
    start_workers: StartWorkers, gate: Gate, restart: Callable[[list[Worker], int], None]
):
    workers = start_workers("--processes", "2", "--concurrency", "4", environment=LOUD)
    before = living_workers(2)
    held = [runs(wait_at.enqueue(gate.path)) for _ in range(3)]
    jobs = enqueue_many([leave_effect.request() for _ in range(200)])
    restart(before, workers.process.pid)
    # Those who leave wait for what runs; who comes works already.
    wait_until(lambda: Worker.objects.filter(dead_at=None).count() >= 3, what="the first relief")
    gate.open()
    after = others_than(*before)
    assert not {each.pid for each in after} & {each.pid for each in before}
    all_successful([*held, *jobs])
    assert set(Job.objects.values_list("starts", "attempt")) == {(1, 1)}
    assert not Worker.objects.filter(died=True).exists()
    assert end_of(add.enqueue(1, 1)).result == 2
    assert workers.process.poll() is None


def test_signals_quiet_all_workers_and_let_them_go_on(start_workers: StartWorkers):
    workers = start_workers("--processes", "2", environment=LOUD)
    living_workers(2)
    workers.process.send_signal(signal.SIGUSR1)
    quiet_workers(2)
    wait_until(lambda: workers.output().count("takes nothing new") == 2, what="both hear it")
    job = add.enqueue(1, 1)
    workers.process.send_signal(signal.SIGUSR2)
    assert end_of(job).result == 2
    assert not Worker.objects.filter(quiet=True).exists()


def test_a_process_that_has_run_enough_jobs_is_replaced_while_others_work_on(start_workers: StartWorkers, gate: Gate):
    workers = start_workers("--concurrency", "2", "--recycle-after-jobs", "20", environment=LOUD)
    (before,) = living_workers()
    held = runs(wait_at.enqueue(gate.path))
    all_successful(enqueue_many([add.request(1, 1) for _ in range(40)]))
    wait_until(lambda: Worker.objects.filter(dead_at=None).exclude(pk=before.pk).exists(), what="the relief")
    # It waits for its last job, whatever the time that a stop would give it, and others take what comes.
    all_successful(enqueue_many([add.request(1, 1) for _ in range(5)]))
    assert (fresh(held).state, fresh(held).owner) == (State.RUNNING, before.pk)
    gate.open()
    assert end_of(held).starts == 1
    others_than(before)
    assert "it has run" in workers.output()
    assert "died" not in workers.output()
    assert not Worker.objects.filter(died=True).exists()


def test_a_limit_of_memory_that_no_process_can_keep_is_told_and_replaces_none(start_workers: StartWorkers):
    workers = start_workers("--recycle-after-megabytes", "1")
    (before,) = living_workers()
    wait_until(lambda: "Raise --recycle-after-megabytes." in workers.output(), what="the complaint")
    assert end_of(add.enqueue(1, 1)).result == 2
    assert [each.pk for each in living_workers()] == [before.pk]


def test_a_process_that_holds_too_much_memory_is_replaced(start_workers: StartWorkers):
    workers = start_workers("--recycle-after-megabytes", "250", environment=LOUD)
    (before,) = living_workers()
    assert end_of(hoard.enqueue(250)).result == 250
    wait_until(lambda: Worker.objects.filter(dead_at=None).exclude(pk=before.pk).exists(), what="the relief")
    assert end_of(add.enqueue(1, 1)).result == 2
    assert "it holds" in workers.output()
