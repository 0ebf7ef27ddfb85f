"""expire: what nobody started by its time never starts; what was started in time goes on."""

from datetime import timedelta

import pytest

from django_jobs import clock
from django_jobs.definitions.outcomes import GivenBack, Retried
from django_jobs.models import Job
from django_jobs.states import EXPIRE, State
from django_jobs.transitions.claiming import claim_due, claim_ids, leftovers
from django_jobs.transitions.ending import end
from django_jobs.transitions.expiring import EXPIRED, expire
from tests.rows import ERROR, HOUR, NAMES, claim_one, columns, ended, fresh, now, put, worker

pytestmark = pytest.mark.django_db


def test_what_was_not_started_in_time_is_dropped_and_says_so():
    job = put(expires_at=now() - timedelta(seconds=1))
    (dropped,) = expire("default")
    assert (dropped.id, dropped.name, dropped.queue_name) == (job.pk, job.name, job.queue_name)
    row = fresh(job)
    assert (row.state, row.error, row.starts) == (EXPIRE.target, EXPIRED, 0)
    assert row.finished_at is not None


@pytest.mark.parametrize("state", [state for state in State if state not in EXPIRE.sources])
def test_no_other_state_expires(state):
    job = put(state, expires_at=now() - HOUR, starts=0)
    before = columns(job)
    assert expire("default") == []
    assert columns(fresh(job)) == before


def test_what_has_time_left_or_no_expiry_stays():
    jobs = [put(expires_at=now() + HOUR), put()]
    assert expire("default") == []
    assert [fresh(job).state for job in jobs] == [State.READY] * 2


def test_a_scheduled_job_expires_before_it_is_due():
    job = put(run_after=now() + HOUR, expires_at=now() - HOUR)
    assert [each.id for each in expire("default")] == [job.pk]


def test_an_expired_job_is_not_claimed_even_before_it_is_dropped():
    job, me = put(expires_at=now() - HOUR), worker()
    assert claim_ids("default", me, [job.pk], NAMES) == []
    assert claim_due("default", me, ["default"], 9, NAMES) == []
    (left,) = leftovers("default", [job.pk], NAMES)
    assert not left.startable


def test_a_job_that_was_started_in_time_is_tried_again_after_it():
    job = put(expires_at=now() + HOUR, max_attempts=3)
    end("default", [ended(claim_one(job), Retried(ERROR, 0.0))], clock.monotonic())
    Job.objects.update(expires_at=now() - HOUR)
    assert expire("default") == []
    assert claim_one(job).expires is None


def test_a_job_that_expires_while_a_worker_holds_it_unbegun_is_dropped_when_it_comes_back():
    job = put(expires_at=now() + HOUR)
    claim = claim_one(job)
    Job.objects.update(expires_at=now() - HOUR)
    end("default", [ended(claim, GivenBack())], clock.monotonic())
    assert [each.id for each in expire("default")] == [job.pk]


def test_a_claim_knows_until_when_its_body_may_begin():
    claim = claim_one(put(expires_at=now() + HOUR))
    assert claim.expires is not None
    assert 3590 < claim.expires - clock.monotonic() < 3610
    assert claim_one(put()).expires is None


def test_a_batch_is_bounded_and_takes_first_what_expired_first():
    jobs = [put(expires_at=now() - timedelta(seconds=10 + number)) for number in range(3)]
    assert [each.id for each in expire("default", limit=1)] == [jobs[2].pk]
    assert len(expire("default", limit=5)) == 2
