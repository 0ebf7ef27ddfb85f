"""The guard of a body: which signal comes when, and what is said of the end."""

import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from django_jobs.definitions.outcomes import ErrorReport, Failed, GivenBack, Retried, Stopped, Succeeded
from django_jobs.definitions.sandbox import Limits
from django_jobs.execution import cancelling
from django_jobs.worker.sandbox.guard import Guard
from tests.project.sandboxed import where
from tests.worker.claims import claim
from tests.worker.clocks import MovedClock

LIMITS = Limits(memory_megabytes=None, max_jobs=1, grace_seconds=5)
CLAIM = claim(where)
REPORTED = Failed(ErrorReport(class_path="builtins.SystemExit", message="", traceback="where it was\n"))
MEGABYTE = 1024 * 1024


@pytest.fixture(autouse=True)
def nobody_asked() -> Iterator[None]:
    yield
    cancelling.hear({})


def struck(guard: Guard, clock: MovedClock, seconds: float) -> list[tuple[float, str]]:
    """Return which signals come in so many seconds, and when."""
    began, found = clock.seconds, []
    while clock.seconds < began + seconds:
        if (number := guard.signal(0)) is not None:
            found.append((clock.seconds - began, number.name))
        clock.seconds += 0.25
    return found


def error_of(outcome: object) -> tuple[str, str]:
    assert isinstance(outcome, Failed)
    return outcome.error.class_path.rpartition(".")[2], outcome.error.message


def test_a_body_without_a_timeout_is_left_alone(moved_clock: MovedClock):
    guard = Guard(CLAIM, LIMITS)
    assert struck(guard, moved_clock, 100_000) == []
    assert not guard.has_struck
    assert guard.judge(Succeeded("1"), None) == Succeeded("1")


def test_after_its_time_a_body_has_the_grace_twice(moved_clock: MovedClock):
    guard = Guard(replace(CLAIM, timeout=30), LIMITS)
    assert struck(guard, moved_clock, 100) == [(35, "SIGTERM"), (40, "SIGKILL")]
    assert error_of(guard.judge(None, -signal.SIGKILL)) == (
        "JobTimeout",
        "The body ran longer than its timeout of 30 s. It was ended by SIGKILL.",
    )


def test_a_body_that_ends_in_the_grace_has_ended_by_itself(moved_clock: MovedClock):
    guard = Guard(replace(CLAIM, timeout=30), LIMITS)
    assert struck(guard, moved_clock, 34) == []
    assert guard.judge(REPORTED, None) is REPORTED


def test_where_a_body_was_that_sigterm_ended_is_kept_and_it_is_tried_again_as_the_job_says(moved_clock: MovedClock):
    guard = Guard(replace(CLAIM, timeout=30, max_attempts=2), LIMITS)
    assert struck(guard, moved_clock, 36) == [(35, "SIGTERM")]
    outcome = guard.judge(REPORTED, None)
    assert isinstance(outcome, Retried)
    assert outcome.error.message.endswith("It was ended by SIGTERM.")
    assert outcome.error.traceback == "where it was\n"


def test_a_success_is_a_success_even_after_a_signal(moved_clock: MovedClock):
    guard = Guard(replace(CLAIM, timeout=30), LIMITS)
    assert struck(guard, moved_clock, 36)
    assert guard.judge(Succeeded("1"), None) == Succeeded("1")


def test_who_is_cancelled_is_told_first_and_has_the_grace_twice(moved_clock: MovedClock):
    guard = Guard(CLAIM, LIMITS)
    assert guard.cancel() is None
    cancelling.hear({(CLAIM.id, CLAIM.fence): "Not needed."})
    assert guard.cancel() == "Not needed."
    assert guard.cancel() is None
    assert struck(guard, moved_clock, 100) == [(5, "SIGTERM"), (10, "SIGKILL")]
    assert guard.judge(REPORTED, None) == Stopped("Not needed.")


def test_who_holds_too_much_memory_is_killed_at_once_and_the_limit_is_named(moved_clock: MovedClock):
    guard = Guard(CLAIM, replace(LIMITS, memory_megabytes=100))
    assert guard.has_limit
    assert guard.signal(100 * MEGABYTE) is None
    assert guard.signal(100 * MEGABYTE + 1) == signal.SIGKILL
    assert error_of(guard.judge(None, -signal.SIGKILL)) == (
        "MemoryLimitExceeded",
        "It held more than its 100 MiB of memory.",
    )


def test_who_must_stop_has_no_grace_and_goes_back(moved_clock: MovedClock):
    guard = Guard(CLAIM, LIMITS)
    guard.stop()
    assert struck(guard, moved_clock, 3) == [(0, "SIGTERM")]
    assert guard.judge(REPORTED, None) == GivenBack(begun=True)
    assert guard.judge(None, -signal.SIGTERM) == GivenBack(begun=True)


def test_who_was_late_before_the_stop_has_failed(moved_clock: MovedClock):
    guard = Guard(replace(CLAIM, timeout=30), LIMITS)
    assert struck(guard, moved_clock, 31) == []
    guard.stop()
    assert struck(guard, moved_clock, 1) == [(0, "SIGTERM")]
    assert error_of(guard.judge(None, -signal.SIGTERM))[0] == "JobTimeout"


@pytest.mark.parametrize(
    ("status", "named"),
    [
        (-signal.SIGSEGV, "killed by SIGSEGV."),
        (-signal.SIGKILL, "killed by SIGKILL. This worker did not send that signal: perhaps the system had no memory"),
        (-63, "killed by signal 63."),
        (0, "exit status 0."),
        (3, "exit status 3."),
        (None, "could not be heard any more, and was killed."),
    ],
)
def test_how_a_process_died_is_named(status, named):
    name, text = error_of(Guard(CLAIM, LIMITS).judge(None, status))
    assert name == "SandboxDied"
    assert named in text
