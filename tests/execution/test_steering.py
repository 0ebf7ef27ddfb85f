"""What a body raises to steer its job, and how long a failed one waits."""

from datetime import timedelta

import pytest

from django_jobs import CancelJob, Fixed, GiveUp, RateLimited, RetryLater, Snooze, job
from django_jobs.definitions.outcomes import Failed, Retried, Snoozed, Stopped
from tests.execution.bodies import KINDS, choosy, claim, raises, run, stubborn, with_backoff


@KINDS
@pytest.mark.parametrize(("delay", "seconds"), [(0, 0.0), (90, 90.0), (1.5, 1.5), (timedelta(minutes=2), 120.0)])
def test_a_body_may_ask_to_run_later_or_to_be_put_to_sleep(function, delay, seconds):
    later = run(raises(RetryLater(delay, "The shop is closed.")), claim(function))
    assert isinstance(later, Retried)
    assert (later.delay, later.error.summary) == (seconds, "RetryLater: The shop is closed.")
    for error in (Snooze(delay), RateLimited(delay)):
        assert run(raises(error), claim(function, attempt=3, max_attempts=3)) == Snoozed(seconds)


def test_a_body_that_asks_to_run_later_in_its_last_attempt_fails():
    outcome = run(raises(RetryLater(5, "The shop is closed.")), claim(attempt=3, max_attempts=3))
    assert isinstance(outcome, Failed)
    assert outcome.error.message == "The shop is closed."


@pytest.mark.parametrize(
    "delay", [-1, timedelta(seconds=-1), "soon", None, True, float("nan"), float("inf"), 1e300, 10**400]
)
@pytest.mark.parametrize("steering", [RetryLater, Snooze, RateLimited])
def test_a_delay_that_is_none_fails_the_job_and_says_whose_it_is(steering, delay):
    outcome = run(raises(steering(delay)))
    assert isinstance(outcome, Failed)
    assert outcome.error.message.startswith(f"The delay of {steering.__name__} in execution.act must be ")


@KINDS
def test_a_body_may_give_up(function):
    outcome = run(raises(GiveUp("The order is gone.")), claim(function))
    assert isinstance(outcome, Failed)
    assert outcome.error.summary == "GiveUp: The order is gone."


@KINDS
def test_a_body_may_end_its_job_as_cancelled(function):
    assert run(raises(CancelJob("Not needed.\0")), claim(function)) == Stopped("Not needed.\\x00")
    assert run(raises(CancelJob()), claim(function)) == Stopped("The job cancelled itself.")


def test_a_subclass_steers_as_its_base():
    class Closed(RetryLater):
        pass

    assert isinstance(run(raises(Closed(1))), Retried)


def test_a_cancel_that_cannot_say_why_cancels_all_the_same():
    class Wordless(CancelJob):
        def __str__(self):
            raise RuntimeError("I cannot speak.")

    assert isinstance(run(raises(Wordless())), Stopped)


@pytest.mark.parametrize(("answer", "seconds"), [(0, 0.0), (2.5, 2.5), (timedelta(minutes=1), 60.0)])
def test_a_callable_backoff_says_how_long_to_wait(answer, seconds):
    outcome = run(lambda error, context: answer, claim(with_backoff, backoff=None))
    assert isinstance(outcome, Retried)
    assert (outcome.delay, outcome.error.message) == (seconds, "once more")


def test_a_callable_backoff_sees_the_error_and_the_context():
    seen = []
    run(lambda *both: seen.append(both), claim(with_backoff, 1, 2, backoff=None, attempt=2))
    ((error, context),) = seen
    assert isinstance(error, LookupError)
    assert (context.attempt, context.args, context.name) == (2, [1, 2], "execution.with_backoff")


def test_a_callable_backoff_may_give_up():
    outcome = run(lambda error, context: None, claim(with_backoff, backoff=None))
    assert isinstance(outcome, Failed)
    assert outcome.error.message == "once more"


@pytest.mark.parametrize("answer", ["soon", -1, True, float("inf"), object], ids=str)
def test_a_callable_backoff_that_answers_nonsense_fails_the_job_and_says_so(answer):
    outcome = run(lambda error, context: answer, claim(with_backoff, backoff=None))
    assert isinstance(outcome, Failed)
    assert "What the backoff of execution.with_backoff returned must be" in outcome.error.message


@pytest.mark.parametrize("error", [ZeroDivisionError("in the backoff"), SystemExit("in the backoff")], ids=str)
def test_a_callable_backoff_that_raises_fails_the_job_and_the_first_error_is_not_forgotten(error):
    outcome = run(raises(error), claim(with_backoff, backoff=None))
    assert isinstance(outcome, Failed)
    assert "in the backoff" in outcome.error.message
    assert "once more" in outcome.error.traceback


def test_a_backoff_of_the_call_goes_before_that_of_the_function():
    outcome = run(raises(AssertionError("not asked")), claim(with_backoff, backoff=Fixed(9)))
    assert isinstance(outcome, Retried)
    assert outcome.delay == 9


class OurKeyError(KeyError):
    pass


@pytest.mark.parametrize(
    ("function", "error", "kind"),
    [
        (choosy, IndexError("a kind of LookupError"), Retried),
        (choosy, TimeoutError(), Retried),
        (choosy, ValueError(), Failed),
        (choosy, SystemExit(1), Failed),
        (choosy, KeyError("a LookupError, but not this one"), Failed),
        (choosy, OurKeyError(), Failed),
        (choosy, RetryLater(1), Retried),
        (stubborn, KeyError(), Retried),
        (stubborn, ValueError(), Failed),
        (stubborn, UnicodeError("a kind of ValueError"), Failed),
        (stubborn, Snooze(1), Snoozed),
    ],
    ids=repr,
)
def test_errors_are_tried_again_by_their_class(function, error, kind):
    assert isinstance(run(raises(error), claim(function)), kind)


def test_a_callable_backoff_is_not_asked_about_what_is_not_tried_again():
    asked = []

    def backoff(*both):
        asked.append(both)
        return 1

    @job(name="execution.never", no_retry_on=Exception, backoff=backoff)
    def never():
        raise ValueError

    assert isinstance(run(raises(ValueError()), claim(never, backoff=None)), Failed)
    assert asked == []


def test_a_backoff_written_for_django_reads_the_attempts_of_its_result():
    outcome = run(
        lambda exception, result: 10.0**result.attempts, claim(with_backoff, backoff=None, attempt=2, max_attempts=9)
    )
    assert isinstance(outcome, Retried)
    assert outcome.delay == 100
