"""Sandboxed jobs in real workers: whatever befalls their process, it befalls them alone, and their rows say what."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from django_jobs import cancel, enqueue_many
from django_jobs.models import Attempt, Job
from django_jobs.states import State
from tests.acceptance.test_death import is_gone
from tests.conftest import StartWorkers
from tests.processes import Workers
from tests.project import sandboxed
from tests.project.jobs import add
from tests.project.models import Effect
from tests.rows import fresh
from tests.waiting import wait_until
from tests.worker.watching import all_successful, end_of, living_workers, runs

pytestmark = pytest.mark.django_db(transaction=True)

REASON = "The order was withdrawn."
DIED, LATE = "django_jobs.errors.SandboxDied", "django_jobs.errors.JobTimeout"


@pytest.fixture
def start_workers(start_workers: StartWorkers) -> StartWorkers:
    def start(*arguments: str, environment: dict[str, str] | None = None, **kwargs: Any) -> Workers:
        known = {"DJANGO_JOBS_TEST_IMPORTS": f"tests.acceptance.jobs {sandboxed.__name__}"}
        return start_workers(*arguments, environment=known | (environment or {}), **kwargs)

    return start


def pid_of(job: Job) -> int:
    """Return the process in which the body has begun, for the last time."""
    runs(job)
    return int(Effect.objects.filter(job_id=job.pk).order_by("-pk")[0].worker)


def texts(job: Job) -> list[str]:
    return [each.text for each in fresh(job).log]


def test_one_that_dies_among_two_hundred_fails_alone_with_the_reason(start_workers: StartWorkers):
    jobs = enqueue_many([sandboxed.where.request(number) for number in range(200)])
    bad = sandboxed.die.using(priority=1).enqueue("SIGSEGV")
    start_workers("--concurrency", "4")
    end = end_of(bad)
    assert (end.state, end.attempt, end.stalls) == (State.FAILED, 1, 0)
    assert end.error == "SandboxDied: The process of this job ended under it: killed by SIGSEGV."
    assert "Segmentation fault" in "\n".join(texts(bad))
    all_successful(jobs)
    assert set(Job.objects.exclude(pk=bad.pk).values_list("attempt", "starts", "stalls")) == {(1, 1, 0)}
    assert [fresh(job).result[1] for job in jobs] == list(range(200))
    # A few processes for all of them, and none of them the worker's own.
    pids = {fresh(job).result[0] for job in jobs}
    assert 1 <= len(pids) <= 5
    assert living_workers()[0].pid not in pids


def test_a_death_is_an_attempt_and_the_rules_for_retries_hold(start_workers: StartWorkers):
    tried_again, given_up = sandboxed.die_at_first.enqueue(), sandboxed.die_in_vain.enqueue()
    assert start_workers("--burst").wait() == 0
    assert (fresh(tried_again).state, fresh(tried_again).result) == (State.SUCCESSFUL, 2)
    assert list(fresh(tried_again).attempts.values_list("outcome", "error_class")) == [
        ("retrying", DIED),
        ("successful", ""),
    ]
    assert (fresh(given_up).state, fresh(given_up).attempt) == (State.FAILED, 1)


def test_which_errors_are_tried_again_is_judged_where_they_are_raised(start_workers: StartWorkers):
    often, once = sandboxed.refuse.enqueue("Refused"), sandboxed.refuse.enqueue("ValueError")
    assert start_workers("--burst").wait() == 0
    assert (fresh(often).state, fresh(often).attempt) == (State.FAILED, 5)
    assert (fresh(once).state, fresh(once).attempt, fresh(once).error) == (State.FAILED, 1, "ValueError: No.")
    first = Attempt.objects.filter(job=often).order_by("pk")[0]
    assert first.error_class == "tests.project.sandboxed.Refused"
    assert "sandboxed.py" in first.traceback


@pytest.mark.parametrize(
    ("job", "by"),
    [
        (sandboxed.turn, ""),
        (sandboxed.wait_async, ""),
        (sandboxed.sleep, " It was ended by SIGTERM."),
        (sandboxed.insist, " It was ended by SIGKILL."),
        (sandboxed.hang, " It was ended by SIGKILL."),
    ],
    ids=lambda each: getattr(each, "name", each),
)
def test_a_body_whose_time_is_up_ends_by_the_gentlest_means_that_help(start_workers: StartWorkers, job, by: str):
    # It asks the database for nothing: that may take longer than its time.
    late = job.using(timeout=1).enqueue(notes=False)
    start_workers("--concurrency", "2")
    end = end_of(late)
    assert (end.state, end.stalls) == (State.FAILED, 0)
    (attempt,) = end.attempts.all()
    assert (attempt.error_class, attempt.message) == (LATE, f"The body ran longer than its timeout of 1 s.{by}")
    if job in (sandboxed.sleep, sandboxed.wait_async):
        assert "tidied up" in texts(late)
    if "SIGTERM" in by:
        assert ".wait(600)" in attempt.traceback
    assert end_of(sandboxed.where.enqueue(1)).result[1] == 1


@pytest.mark.parametrize(
    "job",
    [sandboxed.poll, sandboxed.wait_async, sandboxed.sleep, sandboxed.insist, sandboxed.hang],
    ids=lambda each: each.name,
)
def test_a_running_job_that_is_cancelled_ends_whatever_it_does(start_workers: StartWorkers, job):
    start_workers()
    running = runs(job.enqueue())
    assert cancel(running, REASON) == 1
    ended = end_of(running)
    assert (ended.state, ended.error) == (State.CANCELLED, REASON)
    assert not ended.attempts.exists()
    if job in (sandboxed.sleep, sandboxed.wait_async):
        assert "tidied up" in texts(running)
    assert end_of(sandboxed.where.enqueue(1)).state == State.SUCCESSFUL


def test_what_a_body_says_is_there_while_it_runs(start_workers: StartWorkers, tmp_path: Path):
    gate = tmp_path / "gate"
    start_workers()
    job = runs(sandboxed.stay.enqueue(str(gate)))
    wait_until(lambda: fresh(job).progress is not None, what="the progress of a body that runs")
    wait_until(lambda: texts(job) == ["half"], what="the log of a body that runs")
    assert fresh(job).progress == (1, 2, "half")
    assert fresh(job).state == State.RUNNING
    gate.touch()
    assert end_of(job).result == pid_of(job)


def test_what_was_said_before_a_crash_is_kept(start_workers: StartWorkers):
    start_workers()
    job = end_of(sandboxed.talk_and_die.enqueue())
    assert job.state == State.FAILED
    assert fresh(job).progress == (3, 4, "nearly")
    assert texts(job)[:2] == ["before the end", "printed before the end"]


@pytest.mark.parametrize("job", [sandboxed.remember, sandboxed.remember_async], ids=["def", "async def"])
def test_data_and_steps_are_those_of_any_job(start_workers: StartWorkers, job):
    remembers = job.enqueue()
    start_workers()
    end = end_of(remembers)
    assert (end.state, end.attempt) == (State.SUCCESSFUL, 2)
    made = end.result["made"]
    assert end.result == {"data": {"made": made}, "made": made, "id": str(end.pk)}


def test_an_atomic_body_and_its_success_are_one(start_workers: StartWorkers):
    jobs = {how: sandboxed.leave_one_effect.enqueue(how) for how in ("done", "fail", "die")}
    assert start_workers("--burst").wait() == 0
    assert {how: fresh(job).state for how, job in jobs.items()} == {
        "done": State.SUCCESSFUL,
        "fail": State.FAILED,
        "die": State.FAILED,
    }
    assert Effect.objects.get().job_id == jobs["done"].pk


def test_with_a_killed_worker_its_sandboxes_end_even_one_that_hears_nothing(
    start_workers: StartWorkers, tmp_path: Path
):
    gate = tmp_path / "gate"
    start_workers()
    stays, hangs, idle = sandboxed.stay.enqueue(str(gate)), sandboxed.hang.enqueue(), sandboxed.where.enqueue()
    pids = [pid_of(stays), pid_of(hangs), end_of(idle).result[0]]
    cancel(hangs, REASON)
    os.kill(living_workers()[0].pid, signal.SIGKILL)
    wait_until(lambda: all(map(is_gone, pids)), what="the end of the orphans")
    gate.touch()
    again = end_of(stays)
    assert (again.state, again.attempt, again.starts) == (State.SUCCESSFUL, 1, 2)
    assert again.result not in pids
    assert end_of(hangs).state == State.CANCELLED


def test_a_worker_that_is_told_to_end_lets_bodies_finish(start_workers: StartWorkers, tmp_path: Path):
    gate = tmp_path / "gate"
    workers = start_workers(options={"GRACE_SECONDS": 600})
    job = runs(sandboxed.stay.enqueue(str(gate)))
    workers.process.terminate()
    gate.touch()
    assert workers.wait() == 0
    assert (fresh(job).state, fresh(job).starts) == (State.SUCCESSFUL, 1)
    assert is_gone(pid_of(job))


def test_what_outlasts_the_time_to_end_is_over_before_it_is_handed_back(start_workers: StartWorkers):
    workers = start_workers(options={"GRACE_SECONDS": 0.2})
    jobs = [runs(each.enqueue()) for each in (sandboxed.turn, sandboxed.sleep, sandboxed.hang, sandboxed.wait_async)]
    pids = [pid_of(job) for job in jobs]
    workers.process.terminate()
    assert workers.wait() == 0
    rows = set(Job.objects.values_list("state", "attempt", "starts", "stalls", "suspect", "error"))
    assert rows == {(State.READY, 0, 1, 0, False, "")}
    assert all(map(is_gone, pids))
    assert "ended too late" not in workers.output()


def test_jobs_wait_until_a_sandbox_can_be_started_and_others_run_meanwhile(start_workers: StartWorkers, tmp_path: Path):
    """A deploy may break the code under a worker that runs: its sandboxes import it anew."""
    broken = tmp_path / "broken"
    workers = start_workers(environment={"DJANGO_JOBS_TEST_BROKEN": str(broken)})
    living_workers()
    broken.touch()
    job = sandboxed.where.enqueue()
    wait_until(lambda: "cannot be started" in workers.output(), what="the complaint")
    assert end_of(add.enqueue(1, 2)).result == 3
    untouched = Job.objects.filter(pk=job.pk, state=State.READY, attempt=0, starts=0)
    wait_until(untouched.exists, what="the job goes back")  # now and then it is in hand, for another trial
    broken.unlink()
    assert end_of(job).state == State.SUCCESSFUL
    assert workers.output().count("cannot be started") == 1
    assert "This deploy is broken." in workers.output()


def test_suspects_run_in_a_sandbox_too_and_are_cleared(start_workers: StartWorkers):
    jobs = enqueue_many([sandboxed.where.request(number) for number in range(5)])
    Job.objects.update(suspect=True, stalls=1)
    start_workers()
    all_successful(jobs)
    assert not Job.objects.filter(suspect=True).exists()
