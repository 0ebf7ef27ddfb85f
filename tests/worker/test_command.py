"""manage.py runworkers: what it says, what it waits for, and how it ends."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

import django_jobs
from django_jobs.models import Worker
from django_jobs.states import State
from tests.conftest import StartWorkers
from tests.processes import Workers, worker_environment
from tests.project.jobs import add, wait_at
from tests.rows import fresh
from tests.waiting import wait_until
from tests.worker.watching import Gate, count_threads, end_of, living_workers, runs

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


def press_control_c(workers: Workers) -> None:
    """As a terminal does: everybody in the group hears it."""
    os.killpg(workers.process.pid, signal.SIGINT)


def test_a_banner_says_who_works_where_and_with_how_many_connections(start_workers: StartWorkers, settings):
    workers = start_workers("--burst", "--queue", "mail", "--processes", "2", "--concurrency", "3")
    workers.wait()
    lines = workers.output().splitlines()
    assert lines[0] == f"django_jobs {django_jobs.__version__}"
    facts = dict(line.split(maxsplit=1) for line in lines[1:5])
    assert set(facts) == {"transport", "database", "queues", "processes"}
    assert facts["transport"].startswith(settings.DJANGO_JOBS["TRANSPORT"].partition(":")[0])
    assert facts["database"].startswith("default (")
    assert facts["queues"] == "mail"
    assert facts["processes"] == "2, 3 jobs at once in each, burst"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--queue", "mial"], "Did you mean 'mail'?"),
        (["--processes", "0"], "--processes must be at least 1, not 0."),
        (["--concurrency", "-1"], "--concurrency must be at least 1, not -1."),
        (["--queue", "mail=0"], "--queue mail= must be followed by a weight from 1 to 100, not '0'."),
        (["--queue", "mail=five"], "not 'five'"),
        (["--queue", "mail=101"], "not '101'"),
        (["--queue", "mail", "--queue", "mail=2"], "--queue mail is given twice."),
        (["--strict"], "--strict needs the queues in their order"),
        (["--strict", "--queue", "mail=2", "--queue", "default"], "they take no weights"),
        (["--recycle-after-jobs", "0"], "--recycle-after-jobs must be at least 1, not 0."),
        (["--recycle-after-megabytes", "-5"], "--recycle-after-megabytes must be at least 1, not -5."),
        (["--health-port", "99999"], "The health port 99999 on '127.0.0.1' cannot be opened"),
        (["--health-port", "0", "--health-host", "no.such.host.invalid"], "Choose another: --health-port"),
    ],
)
def test_what_was_mistyped_is_said_before_anything_starts(arguments: list[str], complaint: str):
    with pytest.raises(CommandError) as caught:
        call_command("runworkers", *arguments)
    assert complaint in str(caught.value)
    assert not Worker.objects.exists()


def test_a_worker_waits_for_migrations_and_says_so(start_workers: StartWorkers, tmp_path: Path):
    empty = {"DJANGO_JOBS_TEST_DATABASE": f"sqlite://{tmp_path}/empty.sqlite3"}
    workers = start_workers("--burst", environment=empty)
    wait_until(lambda: "0001_initial. Run: manage.py migrate django_jobs\n" in workers.output())
    assert workers.process.poll() is None
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--verbosity", "0"],
        env=worker_environment({}) | empty | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
        check=True,
    )
    assert workers.wait() == 0
    assert workers.output().count("Waiting for migrations") == 1
    assert "0 attempts ended" in workers.output()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_idle_worker_ends_well_when_it_is_asked_to(start_workers: StartWorkers, number: signal.Signals):
    workers = start_workers("--processes", "2")
    end_of(add.enqueue(1, 1))
    living_workers(2)
    workers.process.send_signal(number)
    assert workers.wait() == 0
    assert not Worker.objects.filter(dead_at=None).exists()
    assert not Worker.objects.filter(died=True).exists()


def test_a_worker_process_that_is_told_to_stop_again_and_again_stops_well(start_workers: StartWorkers):
    start_workers()
    end_of(add.enqueue(1, 1))
    (worker,) = living_workers()

    def has_left_when_told_again() -> bool:
        with suppress(ProcessLookupError):
            for _ in range(20_000):
                os.kill(worker.pid, signal.SIGTERM)
        return Worker.objects.filter(pk=worker.pk, died=False).exclude(dead_at=None).exists()

    wait_until(has_left_when_told_again, what="the end of the worker process")
    assert end_of(add.enqueue(2, 2)).result == 4


def test_a_doubled_control_c_lets_running_jobs_finish(start_workers: StartWorkers, gate: Gate):
    workers = start_workers()
    job = wait_at.enqueue(gate.path)
    runs(job)
    (worker,) = living_workers()
    before = count_threads(worker.pid)
    press_control_c(workers)
    wait_until(lambda: count_threads(worker.pid) < before, what="the end of the fetcher's thread")
    press_control_c(workers)
    gate.open()
    assert workers.wait() == 0
    assert (fresh(job).state, fresh(job).starts) == (State.SUCCESSFUL, 1)


def test_a_control_c_seconds_later_hands_running_jobs_back(start_workers: StartWorkers, gate: Gate):
    workers = start_workers(options={"GRACE_SECONDS": 600})
    job = wait_at.enqueue(gate.path)
    runs(job)

    def is_handed_back_upon_another() -> bool:
        if fresh(job).state == State.RUNNING:
            press_control_c(workers)
        return fresh(job).state == State.READY

    wait_until(is_handed_back_upon_another, what="the return of the job")
    assert workers.wait() == 0
    row = fresh(job)
    assert (row.state, row.attempt, row.starts, row.stalls, row.suspect) == (State.READY, 0, 1, 0, False)


def test_workers_restart_on_changed_code_and_on_nothing_else(start_workers: StartWorkers, tmp_path: Path):
    code, other = tmp_path / "changing_jobs.py", tmp_path / "other_module.py"
    program = "from django_jobs import job\n\n@job(name='changing.{0}')\ndef {0}(): ...\n"
    code.write_text(program.format("first"))
    other.write_text("")
    environment = worker_environment({})
    workers = start_workers(
        "--autoreload",
        environment={
            "DJANGO_JOBS_TEST_IMPORTS": code.stem,
            "PYTHONPATH": os.pathsep.join((environment["PYTHONPATH"], str(tmp_path))),
        },
    )
    end_of(add.enqueue(1, 1))
    (before,) = living_workers()
    assert "changing.first" in before.names

    other.write_text("changed = True")
    code.write_text(program.format("second_one"))
    wait_until(lambda: Worker.objects.filter(dead_at=None).exclude(pk=before.pk).exists(), what="a new worker")
    (after,) = living_workers()
    assert "changing.second_one" in after.names
    assert after.pid != before.pid
    assert end_of(add.enqueue(2, 2)).result == 4
    assert Worker.objects.count() == 2
    assert not Worker.objects.filter(died=True).exists()
    assert "other_module" not in workers.output()
