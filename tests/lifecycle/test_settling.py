"""Outcomes become rows, many at once; one that cannot be written harms no other; then it is announced."""

import logging

import pytest
from django.db import IntegrityError, OperationalError, connection

from django_jobs.definitions.outcomes import ErrorReport, Failed, GivenBack, Outcome, Retried, Snoozed, Succeeded
from django_jobs.definitions.registry import get_spec
from django_jobs.lifecycle.settling import settle, settle_and_claim
from django_jobs.models import Job
from django_jobs.signals import attempt_ended, job_failed
from django_jobs.states import State
from django_jobs.transitions.claiming import claim_due
from django_jobs.transitions.transactions import in_transaction
from django_jobs.transports import Bell
from tests.rows import ERROR, NAMES, claim_of, ended, fresh, put, worker
from tests.threads import together

# No database can add so many seconds to a date.
UNWRITABLE = Retried(ERROR, 1e13)

pytestmark = pytest.mark.django_db


def batch_of(*outcomes):
    return [ended(claim_of(put(State.RUNNING)), outcome) for outcome in outcomes]


def states(batch):
    return [fresh(each.claim.id).state for each in batch]


@pytest.fixture
def heard():
    """What the two signals told."""
    seen = []

    def on_end(sender, claim, outcome, **kwargs):
        seen.append(("ended", sender, claim.id, outcome))

    def on_failure(sender, claim, error, **kwargs):
        seen.append(("failed", sender, claim.id, error))

    attempt_ended.connect(on_end)
    job_failed.connect(on_failure)
    yield seen
    attempt_ended.disconnect(on_end)
    job_failed.disconnect(on_failure)


def test_nothing_to_settle_is_nothing():
    settled = settle("default", [])
    assert (settled.written, settled.fenced, settled.locked) == ([], [], [])


def test_outcomes_and_the_next_claims_are_one_transaction():
    batch = batch_of(Succeeded("1"), Failed(ERROR))
    waiting, me = put(), worker()
    settled, claims = settle_and_claim("default", batch, lambda: claim_due("default", me, ["default"], 5, NAMES))
    assert states(batch) == [State.SUCCESSFUL, State.FAILED]
    assert [each for each, _ in settled.written] == batch
    assert [claim.id for claim in claims] == [waiting.pk]


def test_a_job_that_is_given_back_may_be_claimed_in_the_same_transaction():
    batch = batch_of(GivenBack())
    me = worker()
    _, claims = settle_and_claim("default", batch, lambda: claim_due("default", me, ["default"], 5, NAMES))
    assert [(claim.id, claim.fence) for claim in claims] == [(batch[0].claim.id, 2)]


@pytest.mark.django_db(transaction=True)
def test_a_claim_that_fails_undoes_the_settling_and_the_caller_keeps_its_outcomes():
    batch = batch_of(Succeeded("1"))

    def claim():
        raise OperationalError("The server is gone.")

    with pytest.raises(OperationalError):
        settle_and_claim("default", batch, claim)
    assert states(batch) == [State.RUNNING]
    assert len(settle("default", batch).written) == 1


@pytest.mark.parametrize("place", [0, 3, 6])
def test_an_outcome_that_the_database_refuses_becomes_a_note_and_its_neighbours_are_written(place, caplog):
    outcomes: list[Outcome] = [Succeeded(str(number)) for number in range(6)]
    outcomes.insert(place, UNWRITABLE)
    batch = batch_of(*outcomes)
    waiting, me = put(), worker()
    settled, claims = settle_and_claim("default", batch, lambda: claim_due("default", me, ["default"], 5, NAMES))
    expected = [State.SUCCESSFUL] * 6
    expected.insert(place, State.FAILED)
    assert states(batch) == expected
    assert [claim.id for claim in claims] == [waiting.pk]
    assert {each.claim.id for each, _ in settled.written} == {each.claim.id for each in batch}
    broken = fresh(batch[place].claim.id)
    assert "UnwritableOutcome" in broken.error
    assert broken.attempts.get().error_class == "django_jobs.UnwritableOutcome"
    assert f"The outcome of job {broken.pk} cannot be stored" in caplog.text


def test_a_batch_of_refused_outcomes_becomes_notes():
    batch = batch_of(*[UNWRITABLE] * 5)
    assert len(settle("default", batch).written) == 5
    assert states(batch) == [State.FAILED] * 5


def test_nothing_is_announced_for_outcomes_that_came_too_late(transport, heard, caplog):
    (late,) = batch_of(Failed(ERROR))
    Job.objects.update(fence=2)
    assert settle("default", [late]).fenced == [late]
    assert (heard, transport.announced) == ([], [])
    (record,) = caplog.records
    assert (record.levelno, str(late.claim.id) in record.getMessage()) == (logging.WARNING, True)


def test_what_is_ready_again_is_rung_once_for_the_batch(transport):
    batch = batch_of(Succeeded("1"), Retried(ERROR, 5.0), GivenBack(), Snoozed(3600.0), Failed(ERROR), Snoozed(0.0))
    settle("default", batch)
    expected = [Bell(row.pk, "default", row.rank) for row in (fresh(batch[index].claim.id) for index in (1, 2, 5))]
    (bells,) = transport.announced
    assert sorted(bells, key=lambda bell: bell.id) == sorted(expected, key=lambda bell: bell.id)


def test_every_end_is_told_and_a_failure_besides(heard):
    batch = batch_of(Succeeded("1"), Failed(ERROR), Retried(ERROR, 0.0))
    settle("default", batch)
    spec = get_spec("samples.note")
    told = [("ended", spec, each.claim.id, each.outcome) for each in batch]
    told.append(("failed", spec, batch[1].claim.id, ERROR))
    assert sorted(heard, key=str) == sorted(told, key=str)


def test_a_job_whose_name_is_not_known_here_is_told_of_without_a_sender(heard):
    settle("default", [ended(claim_of(put(State.RUNNING, name="samples.unheard_of")), Succeeded())])
    assert [sender for _, sender, _, _ in heard] == [None]


def test_a_failure_that_gave_way_to_a_cancel_is_no_failure(heard, caplog):
    settle("default", [ended(claim_of(put(State.RUNNING, cancel_requested=True)), Failed(ERROR))])
    assert [kind for kind, *_ in heard] == ["ended"]
    assert caplog.records == []


def test_a_final_failure_is_logged_as_an_error_with_its_exception(caplog):
    try:
        raise ValueError("No such order.")
    except ValueError as error:
        report = ErrorReport(class_path="builtins.ValueError", message=str(error), traceback="...", exception=error)
    (only,) = batch_of(Failed(report))
    settle("default", [only])
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.ERROR, "django_jobs")
    assert record.exc_info is not None
    assert record.exc_info[1] is report.exception
    assert (
        f"Job {only.claim.id} (samples.note) failed after 1 of 1 attempts: ValueError: No such order."
        in record.getMessage()
    )
    assert (vars(record)["job_id"], vars(record)["job_name"]) == (str(only.claim.id), "samples.note")


def test_a_receiver_that_fails_keeps_no_outcome_back(heard, caplog):
    def fail(**kwargs):
        raise RuntimeError("receiver")

    attempt_ended.connect(fail)
    try:
        batch = batch_of(Succeeded("1"), Succeeded("2"))
        assert len(settle("default", batch).written) == 2
    finally:
        attempt_ended.disconnect(fail)
    assert len(heard) == 2


def test_a_transport_that_is_away_keeps_no_outcome_back(transport):
    transport.away = True
    batch = batch_of(Retried(ERROR, 0.0))
    assert len(settle("default", batch).written) == 1
    assert states(batch) == [State.READY]


@pytest.mark.django_db(transaction=True)
def test_a_transaction_of_our_own_is_begun_again_after_a_collision():
    tries: list[int] = []

    def work():
        tries.append(len(tries))
        job = put()
        if len(tries) < 3:
            raise collision()
        return job

    job = in_transaction("default", work)
    assert tries == [0, 1, 2]
    assert [row.pk for row in Job.objects.all()] == [job.pk]


@pytest.mark.django_db(transaction=True)
def test_a_collision_that_never_ends_is_told_in_the_end():
    tries = []

    def work():
        tries.append(1)
        raise collision()

    with pytest.raises(OperationalError):
        in_transaction("default", work)
    assert len(tries) == 5


def collision():
    """An error as the database gives it when trying again can help."""
    if connection.vendor == "postgresql":
        error, error.__cause__ = OperationalError("deadlock detected"), Collision()
        return error
    return (
        OperationalError(1213, "Deadlock found")
        if connection.vendor == "mysql"
        else OperationalError("database is locked")
    )


class Collision(Exception):
    sqlstate = "40P01"


KILL = {
    "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend(%s)"),
    "mysql": ("SELECT CONNECTION_ID()", "KILL %s"),
}


@pytest.mark.skipif(connection.vendor not in KILL, reason="a file has no connection to lose")
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_is_lost_is_opened_again():
    who, kill = KILL[connection.vendor]
    tries = []

    def end_connection(number):
        def run(*_):
            with connection.cursor() as cursor:
                cursor.execute(kill, [number])

        together(1, run)

    def work():
        tries.append(1)
        job = put()
        if len(tries) == 1:
            with connection.cursor() as cursor:
                cursor.execute(who)
                end_connection(cursor.fetchone()[0])
            Job.objects.count()
        return job

    job = in_transaction("default", work)
    assert [row.pk for row in Job.objects.all()] == [job.pk]


@pytest.mark.django_db(transaction=True)
def test_an_error_of_the_work_itself_is_not_tried_again():
    tries = []

    def work():
        tries.append(1)
        Job.objects.bulk_create([put()])

    with pytest.raises(IntegrityError):
        in_transaction("default", work)
    assert tries == [1]
    assert Job.objects.count() == 0
