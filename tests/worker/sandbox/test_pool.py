"""Sandboxes are real processes: kept for the next job, replaced when they die, and gone at the end."""

import logging
import os
import queue
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from django_jobs.definitions.outcomes import Claim, Ended, Failed, GivenBack, Succeeded
from django_jobs.lifecycle import reporting
from django_jobs.models.report import read_line
from django_jobs.worker.board import Board
from django_jobs.worker.pools import Pools
from django_jobs.worker.sandbox import pool as pool_module
from tests.processes import worker_environment
from tests.project.jobs import add
from tests.project.sandboxed import alone, die, fill, leave_a_process, sleep_on, talk, where, where_async
from tests.waiting import wait_until
from tests.worker.claims import claim
from tests.worker.clocks import MovedClock
from tests.worker.conftest import CONCURRENCY

pytestmark = pytest.mark.once

KNOWN = "tests.project.sandboxed"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sandboxes inherit the environment, as those of a worker do."""
    for name, value in (worker_environment({}) | {"DJANGO_JOBS_TEST_IMPORTS": KNOWN}).items():
        monkeypatch.setenv(name, value)
    yield
    reporting._new.clear()


class Hall:
    """Pools, and what came of the claims that they were given."""

    def __init__(self, board: Board) -> None:
        self.holds = True
        self._done: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self.pools = Pools(CONCURRENCY, board, self._done.put, lambda claim: self.holds)

    def run(self, *claims: Claim) -> list[Ended]:
        """Run claims side by side and return what came of them, in order."""
        self.pools.start(claims)
        ended = {each.claim.id: each for each in (self._done.get(timeout=60) for _ in claims)}
        return [ended[each.id] for each in claims]

    def pid(self, job: Callable[..., object] = where) -> int:
        """Run a job that tells its process, and return that."""
        outcome = self.run(claim(job))[0].outcome  # type: ignore[arg-type]
        assert isinstance(outcome, Succeeded), outcome
        assert outcome.result is not None
        return int(outcome.result.strip("[]").partition(",")[0])

    def ended(self) -> Ended:
        return self._done.get(timeout=60)


@pytest.fixture
def hall(board: Board) -> Iterator[Hall]:
    hall = Hall(board)
    yield hall
    hall.pools.withdraw()
    hall.pools.cut_off()
    with suppress(RuntimeError):
        hall.pools.stop()


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended with all its threads, even if nobody has asked for its status."""
    try:
        state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return True
    # The first thread is a zombie already while others are on their way out, and until then nobody is told of the end.
    return state == "Z" and int(numbers[16]) <= 1


def log_of(claimed: Claim) -> list[str]:
    """Return what the log of a job would hold."""
    notes = reporting._new[claimed.id, claimed.fence]
    return [read_line(each).text for each in notes._lines or ()]


def test_a_process_runs_one_job_after_the_other_def_and_async_def(hall: Hall):
    first = hall.pid()
    assert first != os.getpid()
    assert {hall.pid(), hall.pid(where_async), hall.pid(where), hall.pid(where_async)} == {first}


def test_jobs_that_run_at_once_have_a_process_each_and_others_stay_in_the_worker(hall: Hall, board: Board):
    claims = [claim(sleep_on, 0.2) for _ in range(3)]
    outcomes = [each.outcome for each in hall.run(*claims, claim(add, 1, 2))]
    assert outcomes.pop() == Succeeded("3")
    assert len(set(outcomes)) == 3
    assert board.running() == {}


def test_a_job_can_ask_for_a_fresh_process_which_nobody_has_after_it(hall: Hall):
    first, second, third, fourth = hall.pid(), hall.pid(alone), hall.pid(alone), hall.pid()
    assert len({first, second, third}) == 3
    wait_until(lambda: is_gone(second) and is_gone(third), what="the end of the processes for one job")
    assert fourth not in (second, third)


def test_a_process_that_is_old_makes_way_for_another(hall: Hall, settings):
    first = hall.pid()
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "SANDBOX_MAX_SECONDS": 0.001}
    assert hall.pid() != first
    wait_until(lambda: is_gone(first), what="the end of the old process")


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ("SIGSEGV", "killed by SIGSEGV."),
        ("SIGKILL", "killed by SIGKILL. This worker did not send that signal"),
        ("0", "exit status 0."),
        ("3", "exit status 3."),
    ],
)
def test_a_body_that_ends_its_process_fails_alone_and_the_end_is_named(hall: Hall, how: str, named: str):
    neighbour, bad = hall.run(claim(sleep_on, 1), claim(die, how))
    assert isinstance(neighbour.outcome, Succeeded)
    assert isinstance(bad.outcome, Failed)
    assert bad.outcome.error.class_path == "django_jobs.errors.SandboxDied"
    assert named in bad.outcome.error.message
    assert bad.started < bad.finished
    assert hall.pid() == hall.pid()


def test_a_process_that_died_while_nothing_ran_costs_no_job_anything(hall: Hall):
    first = hall.pid()
    os.kill(first, 9)
    wait_until(lambda: is_gone(first), what="the end of the process")
    assert hall.pid() != first


def test_whoever_holds_too_much_memory_is_ended_and_the_limit_is_named(hall: Hall):
    good, bad = hall.run(claim(fill, 10), claim(fill, 100_000))
    assert good.outcome == Succeeded("10")
    assert isinstance(bad.outcome, Failed)
    assert bad.outcome.error.class_path == "django_jobs.errors.MemoryLimitExceeded"
    assert bad.outcome.error.message == "It held more than its 300 MiB of memory."


def test_what_is_printed_by_whomever_and_logged_is_in_the_log_in_order(hall: Hall, capfd):
    talks = claim(talk)
    assert hall.run(talks)[0].outcome == Succeeded(None)
    printed = ["print", "stderr", "native \ufffd", "subprocess", "logging", "no end", "last"]
    logged = ["context", "in two lines", "context again"]
    expected = [*printed[:2], *logged[:2], *printed[2:6], logged[2], printed[6]]
    assert [each for each in log_of(talks) if each in expected] == expected
    # The output of the worker has it too, for whoever gathers that, but not what was only logged.
    said = capfd.readouterr().err.splitlines()
    assert [each for each in said if each in expected] == printed


def test_where_a_body_crashed_is_in_the_log(hall: Hall):
    crashes = claim(die, "SIGSEGV")
    hall.run(crashes)
    log = "\n".join(log_of(crashes))
    assert "Segmentation fault" in log
    assert "sandboxed.py" in log
    assert " in die" in log


def test_when_no_process_can_be_started_jobs_go_back_untouched_and_that_is_said_once(
    hall: Hall, moved_clock: MovedClock, monkeypatch: pytest.MonkeyPatch, caplog
):
    names = [add.name, where.name]
    monkeypatch.setenv("DJANGO_JOBS_TEST_IMPORTS", "tests.project.no_such_module")
    with caplog.at_level(logging.ERROR, logger="django_jobs"):
        for _ in range(3):
            for each in hall.run(claim(where), claim(where), claim(add, 1, 1)):
                assert each.outcome == (Succeeded("2") if each.claim.name == add.name else GivenBack())
            assert hall.pools.runnable(names) == [add.name]
            moved_clock.seconds += 60
            assert hall.pools.runnable(names) == names
    (said,) = [each.getMessage() for each in caplog.records if each.name == "django_jobs"]
    assert "Jobs that need a sandbox wait until one can be started." in said
    assert "No module named 'tests.project.no_such_module'" in said
    monkeypatch.setenv("DJANGO_JOBS_TEST_IMPORTS", KNOWN)
    assert hall.pid() == hall.pid()


def test_while_no_other_can_be_started_those_that_are_there_are_used(
    hall: Hall, moved_clock: MovedClock, monkeypatch: pytest.MonkeyPatch
):
    first = hall.pid()
    monkeypatch.setenv("DJANGO_JOBS_TEST_IMPORTS", "tests.project.no_such_module")
    outcomes = [each.outcome for each in hall.run(claim(sleep_on, 2), claim(sleep_on, 2))]
    assert GivenBack() in outcomes
    # The clock stands still, so nothing is tried again.
    assert hall.pools.runnable([where.name]) == [where.name]
    assert hall.pid() == first


def test_no_body_begins_of_a_claim_that_may_be_lost_and_the_process_stays(hall: Hall):
    first = hall.pid()
    hall.holds = False
    assert hall.run(claim(where))[0].outcome == GivenBack()
    hall.holds = True
    assert hall.pid() == first


def test_what_nobody_needs_for_long_is_ended(hall: Hall, monkeypatch: pytest.MonkeyPatch):
    first = hall.pid()
    hall.pools.sandboxes.retire_idle()
    assert hall.pid() == first
    monkeypatch.setattr(pool_module, "IDLE_SECONDS", 0.0)
    hall.pools.sandboxes.retire_idle()
    assert is_gone(first)
    assert hall.pid() != first


def test_a_process_that_a_body_has_left_ends_with_its_sandbox(hall: Hall):
    left = hall.pid(leave_a_process)
    assert not is_gone(left)
    hall.pools.sandboxes.stop()
    wait_until(lambda: is_gone(left), what="the end of what the body has left")


def test_at_the_end_what_runs_goes_back_and_no_process_is_left(hall: Hall, board: Board):
    idle = hall.pid()
    hall.pools.start([claim(where), claim(sleep_on, 600)])
    hall.ended()
    wait_until(lambda: board.running(), what="the long body")
    hall.pools.cut_off()
    assert hall.ended().outcome == GivenBack(begun=True)
    assert board.running() == {}
    hall.pools.stop()
    wait_until(lambda: is_gone(idle), what="the end of the idle process")


def test_a_timeout_strikes_in_the_sandbox_and_the_process_stays(hall: Hall):
    first = hall.pid()
    late = replace(claim(sleep_on, -1), timeout=0.3)
    (ended,) = hall.run(late)
    assert isinstance(ended.outcome, Failed)
    assert ended.outcome.error.class_path == "django_jobs.errors.JobTimeout"
    assert ended.outcome.error.message == "The body ran longer than its timeout of 0.3 s."
    assert hall.pid() == first
