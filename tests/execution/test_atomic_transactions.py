"""The transaction of an atomic job: run again when it collides, and no success unless it stayed whole."""

import logging

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction

from django_jobs import current_job
from django_jobs.definitions.outcomes import Failed, Retried, Succeeded
from django_jobs.states import State
from django_jobs.transitions.claiming import claim_ids
from tests.execution.atomic_bodies import a_claim, act, leave_effect, run
from tests.project.models import Effect
from tests.rows import fresh, worker
from tests.threads import together

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_body_that_collides_runs_again_and_no_attempt_is_counted(caplog):
    caplog.set_level(logging.INFO, "django_jobs")
    claim, met = a_claim(max_attempts=1), []

    def body():
        leave_effect()
        met.append(1)
        if len(met) < 3:
            raise collision()
        return len(met)

    assert isinstance(run(body, claim), Succeeded)
    assert (fresh(claim.id).result, fresh(claim.id).attempt, Effect.objects.count()) == (3, 1, 1)
    assert caplog.text.count("its transaction met another") == 2


def test_a_body_that_runs_again_finds_its_arguments_and_its_data_as_they_were():
    enqueued = act.enqueue([1])
    (claim,) = claim_ids("default", worker(), [enqueued.pk], [act.name])
    seen = []

    def body(numbers):
        context = current_job()
        assert context is not None
        seen.append((list(numbers), dict(context.data)))
        numbers.append(2)
        context.save({"page": 1})
        assert context.data == {"page": 1}
        if len(seen) == 1:
            raise collision()

    assert isinstance(run(body, claim), Succeeded)
    assert seen == [([1], {}), ([1], {})]
    assert fresh(claim.id).data == {"page": 1}


def test_a_body_that_always_collides_fails_like_any_other():
    met = []

    def body():
        met.append(1)
        raise collision()

    assert isinstance(run(body, a_claim(max_attempts=1)), Failed)
    assert len(met) == 5


def test_two_bodies_that_deadlock_both_succeed_in_their_only_attempt():
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer, so no two can wait for each other.")
    rows = [Effect.objects.create(job_id=a_claim().id, worker="0") for _ in range(2)]
    claims = [a_claim(max_attempts=1) for _ in range(2)]

    def add_to(row):
        effect = Effect.objects.select_for_update().get(pk=row.pk)
        effect.worker = str(int(effect.worker) + 1)
        effect.save()

    def act_crosswise(number, barrier):
        tries = []

        def body():
            tries.append(1)
            add_to(rows[number])
            if len(tries) == 1:
                barrier.wait(10)
            add_to(rows[1 - number])

        outcome = run(body, claims[number])
        return outcome, len(tries)

    outcomes = together(2, act_crosswise)
    assert [type(outcome) for outcome, _ in outcomes] == [Succeeded, Succeeded]
    assert sum(tries for _, tries in outcomes) == 3
    assert [each.worker for each in Effect.objects.order_by("pk")] == ["2", "2"]


def test_a_transaction_that_the_body_ended_itself_is_no_success():
    claim = a_claim()

    def body():
        leave_effect()
        with connection.cursor() as cursor:
            cursor.execute("COMMIT")

    outcome = run(body, claim)
    assert isinstance(outcome, Retried)
    assert outcome.error.class_path == "django_jobs.errors.BrokenTransaction"
    assert fresh(claim.id).state == State.RUNNING
    connection.close()


def test_an_error_that_broke_the_transaction_cannot_be_swallowed():
    claim = a_claim()

    def body():
        leave_effect()
        try:
            with transaction.atomic(savepoint=False):
                raise ValueError
        except ValueError:
            pass

    outcome = run(body, claim)
    assert isinstance(outcome, Retried)
    assert outcome.error.class_path == "django_jobs.errors.BrokenTransaction"
    assert Effect.objects.count() == 0


def test_an_error_inside_of_a_savepoint_can_be_handled():
    claim = a_claim()

    def body():
        leave_effect()
        try:
            with transaction.atomic():
                Effect.objects.create(pk=Effect.objects.get().pk, job_id=claim.id)
        except DatabaseError:
            return "handled"

    assert isinstance(run(body, claim), Succeeded)
    assert (fresh(claim.id).result, Effect.objects.count()) == ("handled", 1)


def test_inside_a_transaction_of_somebody_else_it_is_part_of_that():
    """As in the tests of users, where everything is rolled back in the end."""
    claim = a_claim()
    with transaction.atomic():
        assert isinstance(run(leave_effect, claim), Succeeded)
        transaction.set_rollback(True)
    assert fresh(claim.id).state == State.RUNNING
    assert Effect.objects.count() == 0


def collision() -> OperationalError:
    """What the driver says when the server has sacrificed this transaction, as Django wraps it."""
    if connection.vendor == "postgresql":
        from psycopg.errors import SerializationFailure

        error = OperationalError("could not serialize access")
        error.__cause__ = SerializationFailure()
        return error
    if connection.vendor == "mysql":
        return OperationalError(1213, "Deadlock found when trying to get lock")
    return OperationalError("database is locked")
