"""What an atomic job does to the job database and its success happen together or not at all."""

import pytest
from django.db import connection, transaction

from django_jobs import CancelJob, GiveUp, RetryLater, Snooze
from django_jobs.definitions.outcomes import Claim, Ended, Failed, GivenBack, Retried, Snoozed, Succeeded
from django_jobs.lifecycle import control
from django_jobs.lifecycle.rescuing import rescue_worker
from django_jobs.lifecycle.settling import settle
from django_jobs.models import Attempt, Job
from django_jobs.signals import attempt_ended
from django_jobs.states import State
from django_jobs.transitions.claiming import claim_ids
from tests.bells import RecordingTransport
from tests.execution.atomic_bodies import a_claim, act, leave_effect, run
from tests.execution.bodies import raises
from tests.project.models import Effect
from tests.rows import fresh, worker
from tests.samples import note
from tests.threads import elsewhere, together

pytestmark = pytest.mark.django_db(transaction=True)


def take_away(claim: Claim) -> None:
    """Declare the worker dead and let others have its job."""
    rescue_worker("default", claim.owner, begun=())


def test_the_effect_and_the_success_are_there_together():
    claim = a_claim()

    def body():
        assert connection.in_atomic_block
        return leave_effect()

    outcome = run(body, claim)
    assert isinstance(outcome, Succeeded)
    row = fresh(claim.id)
    assert (row.state, row.result, row.owner, Effect.objects.count()) == (State.SUCCESSFUL, "done", claim.owner, 1)
    assert outcome.row is not None
    assert (outcome.row.id, outcome.row.state) == (row.pk, State.SUCCESSFUL)
    assert row.started_at is not None
    assert row.finished_at is not None
    assert row.enqueued_at <= row.started_at <= row.finished_at


def test_what_is_written_already_is_announced_like_any_success_and_written_no_more(caplog):
    claim = a_claim()
    outcome = run(leave_effect, claim)
    before = Job.objects.values().get(pk=claim.id)
    seen = []

    def hear(sender, claim, outcome, **kwargs):
        seen.append((sender, claim, outcome))

    attempt_ended.connect(hear)
    ended = Ended(claim, outcome, 1.0, 2.0)
    settled = settle("default", [ended])
    attempt_ended.disconnect(hear)
    assert [each for each, _ in settled.written] == [ended]
    assert (settled.fenced, settled.locked, caplog.records) == ([], [], [])
    assert seen == [(act.spec, claim, outcome)]
    assert Job.objects.values().get(pk=claim.id) == before


def test_what_is_written_already_is_announced_beside_what_the_database_refuses(transport: RecordingTransport, caplog):
    claim, other = a_claim(), a_claim()
    outcome = run(leave_effect, claim)
    unwritable = Ended(other, Succeeded("\0" if connection.vendor != "sqlite" else "x" * 10), 0.0, 1.0)
    settled = settle("default", [Ended(claim, outcome), unwritable])
    assert {each.claim.id for each, _ in settled.written} == {claim.id, other.id}
    assert fresh(claim.id).state == State.SUCCESSFUL


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("No such order."), Retried),
        (RetryLater(5), Retried),
        (GiveUp("No use."), Failed),
        (Snooze(5), Snoozed),
        (SystemExit(3), Retried),
        (KeyboardInterrupt(), GivenBack),
    ],
    ids=lambda each: getattr(type(each), "__name__", ""),
)
def test_every_other_end_undoes_what_the_body_did_and_is_settled_as_ever(error, expected):
    claim = a_claim()

    def body():
        leave_effect()
        raise error

    outcome = run(body, claim)
    assert isinstance(outcome, expected)
    assert Effect.objects.count() == 0
    assert fresh(claim.id).state == State.RUNNING
    settled = settle("default", [Ended(claim, outcome)])
    assert len(settled.written) == 1
    assert fresh(claim.id).state == (State.FAILED if expected is Failed else State.READY)


def test_a_job_that_cancels_itself_leaves_nothing():
    def body():
        leave_effect()
        raise CancelJob("Not needed.")

    run(body)
    assert Effect.objects.count() == 0


def test_a_result_that_cannot_be_kept_undoes_the_effect_and_fails_the_job():
    def body():
        leave_effect()
        return object()

    outcome = run(body)
    assert isinstance(outcome, Failed)
    assert "cannot travel as JSON" in outcome.error.message
    assert Effect.objects.count() == 0


def test_a_worker_that_lost_its_job_while_the_body_ran_leaves_no_effect():
    claim = a_claim()

    def body():
        leave_effect()
        with elsewhere(lambda: take_away(claim)):
            pass

    if connection.vendor == "sqlite":
        pytest.skip("SQLite lets nobody write beside a body that has written.")
    outcome = run(body, claim)
    assert outcome == GivenBack(begun=True)
    assert Effect.objects.count() == 0
    row = fresh(claim.id)
    assert row.state == State.READY
    settled = settle("default", [Ended(claim, outcome)])
    assert len(settled.fenced) == 1
    assert fresh(claim.id).state == State.READY


def test_a_worker_that_lost_its_job_before_the_body_wrote_anything_leaves_no_effect():
    claim = a_claim()
    take_away(claim)
    assert run(leave_effect, claim) == GivenBack(begun=True)
    assert Effect.objects.count() == 0


def test_two_workers_that_both_run_one_job_leave_one_effect():
    """The first was paused and believed dead; both bodies are under way when both want to finish."""
    first = a_claim()
    take_away(first)
    (second,) = claim_ids("default", worker(), [first.id], [act.name])

    outcomes = together(2, lambda number, barrier: run(leave_effect, (first, second)[number]))
    assert outcomes[0] == GivenBack(begun=True)
    assert isinstance(outcomes[1], Succeeded)
    assert Effect.objects.count() == 1
    assert fresh(first.id).state == State.SUCCESSFUL


def test_a_cancel_that_was_asked_for_meanwhile_gives_way_to_success():
    claim = a_claim()
    control.cancel(claim.id)
    assert isinstance(run(leave_effect, claim), Succeeded)
    assert fresh(claim.id).state == State.SUCCESSFUL
    assert Effect.objects.count() == 1


def test_whoever_holds_the_row_is_waited_for_and_the_effect_is_not_lost():
    if connection.vendor == "sqlite":
        pytest.skip("SQLite locks no rows.")
    claim = a_claim()

    def finish(number, barrier):
        if number == 0:
            with transaction.atomic():
                control.reprioritize(claim.id, 5)
                control.cancel(claim.id)
                barrier.wait()
                # Longer than any patience of the recorder.
                with connection.cursor() as cursor:
                    cursor.execute("SELECT SLEEP(0.3)" if connection.vendor == "mysql" else "SELECT pg_sleep(0.3)")
            return None
        barrier.wait()
        return run(leave_effect, claim)

    assert isinstance(together(2, finish)[1], Succeeded)
    assert Effect.objects.count() == 1


def test_a_later_attempt_that_succeeds_is_recorded_in_the_same_transaction():
    claim = a_claim()
    settle("default", [Ended(claim, run(raises(ValueError("once")), claim), 0.0, 1.0)])
    control.run_now(claim.id)
    (second,) = claim_ids("default", worker(), [claim.id], [act.name])
    assert isinstance(run(leave_effect, second), Succeeded)
    assert [each.outcome for each in Attempt.objects.order_by("pk")] == ["retrying", "successful"]


def test_what_the_body_enqueues_is_rung_after_the_commit_and_not_at_all_without_one(transport: RecordingTransport):
    claim, other = a_claim(), a_claim()
    rung = len(transport.rung)

    def body(error: Exception | None = None):
        enqueued = note.enqueue("next")
        assert len(transport.rung) == rung
        if error:
            raise error
        return str(enqueued.pk)

    assert isinstance(run(lambda: body(ValueError()), claim), Retried)
    assert (len(transport.rung), Job.objects.filter(name=note.name).count()) == (rung, 0)
    assert isinstance(run(body, other), Succeeded)
    assert [str(id) for id in transport.rung[rung:]] == [fresh(other.id).result]


@pytest.mark.parametrize("error", [ValueError("in the callback"), SystemExit(3)], ids=repr)
def test_a_callback_that_fails_after_the_commit_takes_no_success_back(caplog, error):
    claim = a_claim()

    def body():
        transaction.on_commit(lambda: raises(error)())
        return leave_effect()

    outcome = run(body, claim)
    assert isinstance(outcome, Succeeded)
    assert outcome.row is not None
    assert fresh(claim.id).state == State.SUCCESSFUL
    assert "has succeeded, but a callback of on_commit failed" in caplog.text
