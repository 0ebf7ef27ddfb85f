"""Stops by counting: what may finish does, what does not starts elsewhere, and nothing is lost or counted."""

import signal
from collections import Counter
from pathlib import Path

import pytest

from django_jobs import enqueue_many
from django_jobs.models import Job, Worker
from django_jobs.states import State
from tests.acceptance.jobs import stay, work, work_async
from tests.conftest import StartWorkers
from tests.project.models import Effect
from tests.waiting import wait_until
from tests.worker.watching import Gate, all_successful, living_workers

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

MANY = 50


def begun(start: int = 1) -> int:
    return Effect.objects.filter(worker__endswith=f" begins {start}").count()


def ends() -> Counter[object]:
    return Counter(Effect.objects.filter(worker__contains=" ends ").values_list("job_id", flat=True))


@pytest.mark.parametrize("kind", [work, work_async], ids=["def", "async def"])
def test_fifty_jobs_of_a_second_finish_within_the_time_and_each_runs_once(start_workers: StartWorkers, kind):
    """The time is longer than on a quiet machine it would have to be: that is not what is counted."""
    jobs = enqueue_many([kind.request(1.0) for _ in range(MANY + 20)])
    workers = start_workers("--concurrency", str(MANY), options={"GRACE_SECONDS": 30})
    wait_until(lambda: begun() >= MANY, what="fifty jobs run")
    workers.process.terminate()
    assert workers.wait() == 0
    rows = Counter(Job.objects.values_list("state", "attempt", "starts", "stalls"))
    assert set(rows) <= {(State.SUCCESSFUL, 1, 1, 0), (State.READY, 0, 0, 0)}
    assert rows[(State.SUCCESSFUL, 1, 1, 0)] >= MANY
    start_workers("--concurrency", str(MANY))
    all_successful(jobs)
    assert ends() == {job.pk: 1 for job in jobs}
    assert set(Job.objects.values_list("attempt", "starts")) == {(1, 1)}


def test_fifty_jobs_that_take_longer_than_the_time_start_elsewhere_and_no_attempt_counts(
    start_workers: StartWorkers, gate: Gate
):
    jobs = enqueue_many([stay.request(gate.path) for _ in range(MANY)])
    first = start_workers("--concurrency", str(MANY), options={"GRACE_SECONDS": 0.5})
    wait_until(lambda: begun() == MANY, what="fifty jobs run")
    start_workers("--concurrency", str(MANY))
    wait_until(lambda: Worker.objects.filter(dead_at=None).count() == 2, what="a second worker")
    first.process.terminate()
    wait_until(lambda: begun(2) == MANY, what="all of them run elsewhere")
    assert first.wait() == 0
    gate.open()
    all_successful(jobs)
    assert set(Job.objects.values_list("attempt", "starts", "stalls", "suspect")) == {(1, 2, 0, False)}
    # The bodies of the first worker were fenced and have ended with it.
    assert set(ends().values()) == {1}
    assert not Worker.objects.filter(died=True).exists()


def test_jobs_that_wait_for_a_stopping_worker_are_taken_by_another_at_once(
    start_workers: StartWorkers, tmp_path: Path, gate: Gate
):
    first = start_workers("--concurrency", "2", options={"GRACE_SECONDS": 600})
    held = enqueue_many([stay.request(gate.path) for _ in range(2)])
    wait_until(lambda: begun() == 2, what="two jobs run")
    waiting = enqueue_many([work.request(0) for _ in range(30)])
    first.process.terminate()
    start_workers()
    all_successful(waiting)
    assert {job.state for job in Job.objects.filter(pk__in=[each.pk for each in held])} == {State.RUNNING}
    gate.open()
    all_successful(held)
    assert first.wait() == 0
    assert set(Job.objects.values_list("attempt", "starts")) == {(1, 1)}


def test_a_restart_on_broken_code_leaves_the_former_workers_at_work_until_it_is_mended(
    start_workers: StartWorkers, tmp_path: Path
):
    broken = tmp_path / "broken"
    workers = start_workers("--processes", "2", environment={"DJANGO_JOBS_TEST_BROKEN": str(broken)})
    before = {each.pk for each in living_workers(2)}
    broken.touch()
    workers.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(broken.read_text().splitlines()) == 2, what="the second birth in vain")
    assert {each.pk for each in living_workers(2)} == before
    all_successful(enqueue_many([work.request(0) for _ in range(20)]))
    broken.unlink()
    wait_until(lambda: not Worker.objects.filter(pk__in=before, dead_at=None).exists(), what="fresh workers")
    all_successful(enqueue_many([work.request(0) for _ in range(20)]))
    assert len(living_workers(2)) == 2
    assert not Worker.objects.filter(died=True).exists()
