"""queues[...].take(): one job in the hands of a person's code, with the guards that a worker has."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from django.db import transaction
from django.db.transaction import TransactionManagementError

from django_jobs import CancelJob, Fixed, GiveUp, cancel, job, queues
from django_jobs.definitions.retries import to_text
from django_jobs.errors import AlreadyEnded, ClaimLost, InvalidArguments, InvalidOption
from django_jobs.lifecycle import workers
from django_jobs.lifecycle.rescuing import judge, rescue_orphans
from django_jobs.models import Job, Worker
from django_jobs.signals import attempt_ended
from django_jobs.states import State
from django_jobs.worker.manual import TakenJob
from tests.bells import transport
from tests.processes import worker_environment
from tests.rows import HOUR, columns, fresh, now, put, take_away
from tests.samples import mail, note
from tests.threads import together

__all__ = ["transport"]

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = timedelta(minutes=1)
ELSEWHERE = "elsewhere.unheard_of"
DIE_WITH_A_JOB = """
import os, signal, django
django.setup()
from django_jobs import queues
with queues["default"].take() as claim:
    print(claim.id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
EXTEND = pytest.mark.parametrize("duration", [600, timedelta(minutes=10)], ids=["seconds", "timedelta"])
ENDS = pytest.mark.parametrize(
    "end",
    [
        lambda claim: claim.complete(),
        lambda claim: claim.fail(ValueError()),
        lambda claim: claim.retry_later(0),
        lambda claim: claim.give_back(),
    ],
    ids=["complete", "fail", "retry_later", "give_back"],
)


@contextmanager
def taken(queue_name="default", names=None) -> Iterator[TakenJob]:
    """Take a job that must be there."""
    with queues[queue_name].take(names) as claim:
        assert claim is not None
        yield claim


def test_a_job_is_taken_with_its_call_and_completed_by_hand():
    stored = mail.using(metadata={"customer": 42}, max_attempts=3).enqueue("a@b.c", copies=2)
    with taken("mail") as claim:
        assert (claim.id, claim.name, claim.queue_name) == (stored.pk, "samples.mail", "mail")
        assert (claim.args, claim.kwargs, claim.headers) == (["a@b.c"], {"copies": 2}, {})
        assert (claim.attempt, claim.max_attempts, claim.metadata) == (1, 3, {"customer": 42})
        assert fresh(stored).state == State.RUNNING
        claim.complete({"letters": 2})
    row = fresh(stored)
    assert (row.state, row.result, row.attempt, row.starts) == (State.SUCCESSFUL, {"letters": 2}, 1, 1)


def test_the_holder_is_a_worker_while_it_holds_and_says_goodbye():
    put()
    with taken("default", ["samples.note"]) as claim:
        holder = Worker.objects.get()
        assert fresh(claim.id).owner == holder.pk
        assert (holder.pid, holder.supervisor_pid, holder.concurrency) == (os.getpid(), 0, 1)
        assert (holder.queues, holder.names, holder.dead_at) == (["default"], ["samples.note"], None)
    holder.refresh_from_db()
    assert holder.dead_at is not None
    assert not holder.died


def test_the_holder_serves_its_queue_while_it_holds_and_for_a_while_after_that():
    put()
    served = []
    with taken("default", ["samples.note"]):
        served.append(workers.serving(workers.at_work("default", now()), "default", []))
    served.append(workers.serving(workers.at_work("default", now()), "default", []))
    for (holder,) in served:
        assert (workers.knows(holder, "samples.note"), workers.knows(holder, "samples.mail")) == (True, False)
    assert workers.at_work("default", now() + HOUR) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"run_after": now() + HOUR},
        {"queue_name": "mail"},
        {"state": State.RUNNING},
        {"state": State.BLOCKED},
        {"cancel_requested": True},
        {"expires_at": now() - MINUTE},
        {"name": "samples.mail"},
    ],
    ids=lambda fields: ", ".join(fields),
)
def test_where_nothing_may_start_the_block_gets_none_and_no_row_of_a_worker_is_left(fields):
    stored = put(**fields)
    with queues["default"].take(["samples.note"]) as claim:
        assert claim is None
    assert columns(fresh(stored)) == columns(stored)
    assert not Worker.objects.exists()


def test_a_paused_queue_hands_out_nothing():
    put()
    queues["default"].pause()
    with queues["default"].take() as claim:
        assert claim is None
    queues["default"].resume()
    with queues["default"].take() as claim:
        assert claim is not None


def test_the_best_rank_is_taken_first_and_one_at_a_time():
    put(), put(priority=10)
    with taken() as first, taken() as second:
        assert (first.id, second.id) == tuple(Job.objects.order_by("-priority").values_list("pk", flat=True))


def test_many_who_take_at_once_never_take_the_same():
    jobs = [put() for _ in range(8)]

    def take(number, barrier):
        ids = []
        while Job.objects.ready().exists():
            # Nobody waits for what another has locked just then.
            with queues["default"].take() as claim:
                if claim is not None:
                    ids.append(claim.id)
                    claim.complete()
        return ids

    all_ids = [id for ids in together(4, take) for id in ids]
    assert sorted(all_ids) == sorted(each.pk for each in jobs)
    assert Job.objects.successful().count() == 8


def test_a_job_that_no_code_here_knows_can_be_taken_and_is_retried_as_its_row_says():
    stored = put(name=ELSEWHERE, max_attempts=3, backoff=to_text(Fixed(60)))
    with queues["default"].take(["another.name"]) as claim:
        assert claim is None
    with taken("default", [ELSEWHERE]) as claim:
        claim.fail(RuntimeError("Exit status 1."))
    row = fresh(stored)
    assert (row.state, row.attempt, row.error) == (State.READY, 1, "RuntimeError: Exit status 1.")
    assert timedelta(seconds=30) < row.run_after - now() < timedelta(seconds=90)


@pytest.mark.parametrize("names", ["samples.note", [], [note], [1]])
def test_what_are_no_names_is_said_at_once(names):
    put()
    with pytest.raises(InvalidOption, match="no names of jobs"), queues["default"].take(names):
        raise AssertionError("Nothing is taken.")
    assert not Worker.objects.exists()


def test_a_failure_by_hand_counts_and_is_recorded_and_the_last_one_ends_the_job():
    stored = put(max_attempts=2, backoff=to_text(Fixed(0)))
    for attempt in (1, 2):
        with taken() as claim:
            assert claim.attempt == attempt
            claim.fail(ValueError("No such order."))
    assert fresh(stored).state == State.FAILED
    assert [each.outcome for each in stored.attempts.order_by("number")] == ["retrying", "failed"]
    assert {each.message for each in stored.attempts.all()} == {"No such order."}


def test_a_failure_by_hand_follows_the_rules_of_the_function_where_it_is_known():
    @job(name="manual.choosy", no_retry_on=KeyError, max_attempts=3)
    def choosy(): ...

    first, second = choosy.enqueue(), choosy.enqueue()
    for error in (KeyError("never"), ValueError("again")):
        with taken() as claim:
            claim.fail(error)
    assert [fresh(each).state for each in (first, second)] == [State.FAILED, State.READY]


@pytest.mark.parametrize(
    ("fail", "state", "error"),
    [
        (lambda claim: claim.fail(ValueError("No."), retry=False), State.FAILED, "ValueError: No."),
        (lambda claim: claim.fail(GiveUp("No use.")), State.FAILED, "GiveUp: No use."),
        (lambda claim: claim.fail(CancelJob("Not needed.")), State.CANCELLED, "Not needed."),
        (lambda claim: claim.retry_later(HOUR, "Closed."), State.READY, "RetryLater: Closed."),
    ],
    ids=["retry=False", "GiveUp", "CancelJob", "retry_later"],
)
def test_an_end_by_hand_may_say_what_comes_next(fail, state, error):
    stored = put(max_attempts=3)
    with taken() as claim:
        fail(claim)
    row = fresh(stored)
    assert (row.state, row.error, row.attempt) == (state, error, 1)


def test_an_exception_that_leaves_the_block_fails_the_attempt_and_goes_on():
    retried, ended = put(max_attempts=2), put(run_after=now() - timedelta(seconds=1))
    for _ in range(2):
        with pytest.raises(LookupError, match="Gone"), taken():
            raise LookupError("Gone.")
    assert (fresh(retried).state, fresh(retried).error) == (State.READY, "LookupError: Gone.")
    assert fresh(ended).state == State.FAILED


def test_an_exception_after_the_end_changes_nothing():
    stored = put()

    def complete_and_stumble():
        with taken() as claim:
            claim.complete()
            raise LookupError

    with pytest.raises(LookupError):
        complete_and_stumble()
    assert fresh(stored).state == State.SUCCESSFUL


def leave(claim):
    """Say nothing."""


@pytest.mark.parametrize("end", [leave, lambda claim: claim.give_back()], ids=["without a word", "give_back"])
def test_a_job_that_is_given_back_is_as_if_it_had_never_been_taken(end, transport):
    stored = put(attempt=2, starts=2, max_attempts=3, max_starts=3)
    with taken() as claim:
        end(claim)
    before, after = columns(stored), columns(fresh(stored))
    assert (before.pop("fence"), after.pop("fence")) == (0, 1)
    assert after == before
    assert transport.rung == [stored.pk]


def test_a_generator_that_is_closed_gives_back():
    stored = put()

    def jobs():
        with taken() as claim:
            yield claim

    generator = jobs()
    assert next(generator).id == stored.pk
    generator.close()
    assert (fresh(stored).state, fresh(stored).attempt) == (State.READY, 0)


@ENDS
def test_an_attempt_ends_once(end):
    stored = put(max_attempts=3)
    with taken() as claim:
        claim.complete("first")
        with pytest.raises(AlreadyEnded, match="was ended before"):
            end(claim)
    with pytest.raises(AlreadyEnded):
        end(claim)
    assert fresh(stored).result == "first"


@ENDS
def test_who_lost_the_job_hears_of_it_and_writes_nothing(end):
    put(max_attempts=3)
    with taken() as claim:
        take_away(claim._claim)
        before = columns(fresh(claim.id))
        with pytest.raises(ClaimLost, match="its end was not written"):
            end(claim)
    assert columns(fresh(claim.id)) == before


def test_a_job_that_was_lost_hides_no_exception():
    stored = put()

    def lose_and_stumble():
        with taken() as claim:
            take_away(claim._claim)
            raise LookupError

    with pytest.raises(LookupError):
        lose_and_stumble()
    assert fresh(stored).state == State.READY


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (lambda claim: claim.complete(object()), InvalidArguments),
        (lambda claim: claim.fail("No."), InvalidArguments),
        (lambda claim: claim.retry_later("soon"), InvalidOption),
    ],
    ids=["complete", "fail", "retry_later"],
)
def test_an_end_that_cannot_be_ends_nothing(end, error):
    stored = put(max_attempts=3)
    with taken() as claim:
        with pytest.raises(error):
            end(claim)
        assert fresh(stored).state == State.RUNNING
        claim.complete()
    assert fresh(stored).state == State.SUCCESSFUL


def test_nothing_is_taken_or_ended_inside_of_a_transaction():
    stored = put()
    with (
        transaction.atomic(),
        pytest.raises(TransactionManagementError, match="cannot be taken inside"),
        taken(),
    ):
        raise AssertionError("Nothing is taken.")
    with taken() as claim:
        with transaction.atomic(), pytest.raises(TransactionManagementError, match="cannot be ended inside"):
            claim.complete()
        claim.complete()
    assert fresh(stored).state == State.SUCCESSFUL


def test_a_commit_that_is_left_to_the_caller_counts_as_a_transaction():
    put()
    transaction.set_autocommit(False)
    try:
        with pytest.raises(TransactionManagementError), taken():
            raise AssertionError("Nothing is taken.")
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def test_a_cancel_is_heard_and_ends_what_does_not_succeed():
    first, second = put(), put()
    for stored, end in ((first, lambda claim: claim.give_back()), (second, lambda claim: claim.complete())):
        with taken() as claim:
            heard = [claim.cancel_requested]
            cancel(stored, "Not needed.")
            heard.append(claim.cancel_requested)
            assert heard == [False, True]
            end(claim)
    assert [fresh(each).state for each in (first, second)] == [State.CANCELLED, State.SUCCESSFUL]


def test_listeners_hear_of_an_end_by_hand():
    put(name=ELSEWHERE)
    heard = []

    def listen(sender, claim, outcome, **kwargs):
        heard.append((sender, claim.name))

    attempt_ended.connect(listen)
    try:
        with taken() as claim:
            claim.complete()
    finally:
        attempt_ended.disconnect(listen)
    assert heard == [(None, ELSEWHERE)]


def test_a_job_is_held_for_as_long_as_its_process_lives(settings, wait_until):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "HEARTBEAT_SECONDS": 0.05}
    put()
    with taken() as claim:
        holder = Worker.objects.filter(dead_at=None)
        for _ in range(2):
            holder.update(beat_at=now() - HOUR)
            wait_until(lambda: holder.get().beat_at > now() - MINUTE, what="a beat")
        assert judge("default", 60.0, set()) == ([], set())
        claim.complete()
    assert fresh(claim.id).state == State.SUCCESSFUL


def test_the_job_of_a_process_that_died_is_rescued_and_taken_again():
    stored = put(name=ELSEWHERE, stalls=1)
    dead = subprocess.run(
        [sys.executable, "-c", DIE_WITH_A_JOB], env=worker_environment({}), capture_output=True, text=True, timeout=60
    )
    assert (dead.returncode, dead.stdout.strip()) == (-signal.SIGKILL, str(stored.pk)), dead.stderr
    assert fresh(stored).state == State.RUNNING
    Worker.objects.update(beat_at=now() - HOUR)
    assert judge("default", 60.0, set())[0] == [fresh(stored).owner]
    assert rescue_orphans("default") == 1
    # No worker knows its name: whoever takes by hand must be given suspects too.
    with taken() as claim:
        assert (claim.id, claim.attempt) == (stored.pk, 1)
        claim.complete()
    row = fresh(stored)
    assert (row.state, row.suspect, row.starts) == (State.SUCCESSFUL, False, 2)
    assert [each.outcome for each in stored.attempts.all()] == ["stalled"]


@pytest.fixture
def often(settings):
    """The thread that beats looks often enough for a test."""
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "HEARTBEAT_SECONDS": 0.05}


def test_a_job_whose_time_is_up_fails_by_that_and_its_holder_hears_of_it(often, moved_clock, wait_until):
    stored = put(timeout=60.0)
    with taken() as claim:
        assert claim.deadline == moved_clock.now() + MINUTE
        moved_clock.seconds += 61
        wait_until(lambda: fresh(stored).state == State.FAILED, what="the end of the attempt")
        with pytest.raises(ClaimLost, match=r"The time of job .* was up.*: its end was not written"):
            claim.complete()
        with pytest.raises(ClaimLost, match=r"was up.*: it was not extended"):
            claim.extend(60)
    assert fresh(stored).error.startswith("JobTimeout: It was held by hand until its time was up")
    assert [each.error_class for each in stored.attempts.all()] == ["django_jobs.errors.JobTimeout"]


def test_a_job_whose_time_is_up_is_tried_again_while_attempts_are_left(often, moved_clock, wait_until):
    stored = put(timeout=60.0, max_attempts=2, backoff=to_text(Fixed(0)))
    with taken():
        moved_clock.seconds += 61
        wait_until(lambda: fresh(stored).state == State.READY, what="the end of the attempt")
    with taken() as claim:
        assert claim.attempt == 2
        claim.complete()
    assert fresh(stored).state == State.SUCCESSFUL


@EXTEND
def test_an_extension_counts_from_now_and_stands_in_the_row(often, moved_clock, wait_until, duration):
    stored = put(timeout=60.0)
    with taken() as claim:
        claim.extend(duration)
        assert claim.deadline == moved_clock.now() + timedelta(minutes=10)
        row = fresh(stored)
        assert row.deadline_at is not None
        assert abs(row.deadline_at - now() - timedelta(minutes=10)) < timedelta(seconds=30)
        beaten = Worker.objects.filter(beat_at__gt=now() - MINUTE)
        for _ in range(2):  # more than its first time, and more than the second, but for the extension
            moved_clock.seconds += 590
            Worker.objects.update(beat_at=now() - HOUR)
            wait_until(beaten.exists, what="a look at the time")
            assert fresh(stored).state == State.RUNNING
            claim.extend(duration)
        claim.extend(1)
        moved_clock.seconds += 2
        wait_until(lambda: fresh(stored).state == State.FAILED, what="the end of the attempt")


def test_a_job_without_a_timeout_has_one_once_it_is_extended(often, moved_clock, wait_until):
    stored = put()
    with taken() as claim:
        assert claim.deadline is None
        claim.extend(60)
        moved_clock.seconds += 61
        wait_until(lambda: fresh(stored).state == State.FAILED, what="the end of the attempt")


def test_an_extension_wakes_who_would_have_looked_too_late(settings, wait_until):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "HEARTBEAT_SECONDS": 3600, "DEAD_AFTER_SECONDS": 7200}
    stored = put()
    with taken() as claim:
        claim.extend(0.01)
        wait_until(lambda: fresh(stored).state == State.FAILED, what="the end of the attempt")


def test_who_is_about_to_end_or_extend_the_job_is_not_too_late_meanwhile(often, moved_clock):
    stored = put(timeout=60.0)
    with taken() as claim, claim._lock:
        moved_clock.seconds += 61
        claim._end_if_too_late()
        assert fresh(stored).state == State.RUNNING
        claim._deadline = moved_clock.seconds + 60


def test_who_lost_the_job_cannot_extend_it():
    put()
    with taken() as claim:
        take_away(claim._claim)
        before = columns(fresh(claim.id))
        with pytest.raises(ClaimLost, match="was taken from this process: it was not extended"):
            claim.extend(60)
    assert columns(fresh(claim.id)) == before


def test_what_was_ended_is_not_extended():
    put()
    with taken() as claim:
        claim.complete()
        with pytest.raises(AlreadyEnded):
            claim.extend(60)


@pytest.mark.parametrize("duration", [0, -1, "60", None, float("nan")], ids=repr)
def test_what_is_no_time_to_hold_a_job_for_extends_nothing(duration):
    stored = put(timeout=3600.0)
    with taken() as claim:
        before = fresh(stored).deadline_at
        with pytest.raises(InvalidOption, match="The time of extend must be"):
            claim.extend(duration)
        assert fresh(stored).deadline_at == before


def test_nothing_is_extended_inside_of_a_transaction():
    put()
    with (
        taken() as claim,
        transaction.atomic(),
        pytest.raises(TransactionManagementError, match="cannot be extended inside"),
    ):
        claim.extend(60)


def test_an_interrupt_gives_the_job_back():
    stored = put()
    with suppress(KeyboardInterrupt), taken():
        raise KeyboardInterrupt
    assert (fresh(stored).state, fresh(stored).attempt) == (State.READY, 0)
