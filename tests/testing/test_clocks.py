"""A FrozenClock is the time of the host and of the database, until it is moved."""

from datetime import UTC, datetime, timedelta

import pytest

from django_jobs import cancel, clock, reschedule, retry
from django_jobs.errors import InvalidOption
from django_jobs.models import Job
from django_jobs.testing import FrozenClock, drain
from tests.testing import samples

START = datetime(2031, 5, 17, 12, 30, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture
def frozen(settings):
    settings.DJANGO_JOBS = {"TRANSPORT": "memory:", "PREFIX": "testing"}
    with FrozenClock(START) as frozen:
        yield frozen


def test_rows_have_the_time_of_the_clock(frozen):
    job = samples.write.using(run_after=60, expires=120, idempotency_key="a", idempotency_ttl=180).enqueue("a")
    stored = Job.objects.get()
    assert (stored.enqueued_at, stored.run_after, stored.expires_at, stored.key_expires_at) == tuple(
        START + timedelta(minutes=minutes) for minutes in range(4)
    )
    assert (job.enqueued_at, job.run_after) == (stored.enqueued_at, stored.run_after)
    frozen.move(60)
    drain()
    stored.refresh()
    assert stored.started_at == stored.finished_at == START + timedelta(minutes=1)


def test_questions_are_answered_by_the_clock(frozen):
    samples.write.using(run_after=60).enqueue("a")
    assert (Job.objects.ready().count(), Job.objects.scheduled().count()) == (0, 1)
    frozen.move(59.999)
    assert (Job.objects.ready().count(), Job.objects.scheduled().count()) == (0, 1)
    frozen.move(timedelta(milliseconds=1))
    assert (Job.objects.ready().count(), Job.objects.scheduled().count()) == (1, 0)


def test_verbs_go_by_the_clock(frozen):
    job, other = samples.write.enqueue("a"), samples.write.enqueue("b")
    frozen.move(60)
    cancel(job)
    reschedule(other, timedelta(hours=1))
    job.refresh()
    other.refresh()
    assert (job.finished_at, other.run_after) == (START + timedelta(minutes=1), START + timedelta(minutes=61))
    frozen.move(60)
    retry(job)
    job.refresh()
    assert job.run_after == START + timedelta(minutes=2)


def test_it_starts_at_the_present_and_ends_with_the_block():
    before = clock.now()
    with FrozenClock() as frozen:
        assert timedelta(0) <= frozen.now() - before < timedelta(minutes=1)
        seconds = clock.monotonic()
        later = frozen.move(3600)
        assert clock.now() == later
        assert clock.monotonic() - seconds == pytest.approx(3600)
    assert clock.now() - before < timedelta(hours=1)
    assert clock.database_now() is None


def test_moments_are_whole_milliseconds_and_never_too_early():
    frozen = FrozenClock(START + timedelta(microseconds=1))
    assert frozen.now() == START + timedelta(milliseconds=1)
    assert frozen.move_to(START + timedelta(microseconds=1000)) == START + timedelta(milliseconds=1)
    assert repr(frozen) == "<FrozenClock 2031-05-17T12:30:00.001000+00:00>"


def test_other_zones_mean_the_same_moment():
    assert FrozenClock(START.astimezone()).now() == START


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda frozen: frozen.move_to(START - timedelta(seconds=1)), "cannot go back to 2031-05-17T12:29:59"),
        (lambda frozen: frozen.move(-1), r"FrozenClock.move\(duration\) must be a duration from 0 seconds"),
        (lambda frozen: frozen.move("1"), r"must be seconds or a timedelta, not '1'"),
        (lambda frozen: frozen.move_to(60), r"FrozenClock.move_to\(moment\) must be a datetime, not 60"),
        (lambda frozen: FrozenClock(datetime(2031, 5, 17)), r"FrozenClock\(at\) must be an aware datetime"),  # noqa: DTZ001
        (lambda frozen: drain(until=START - timedelta(1)), r"cannot go back"),
    ],
)
def test_what_cannot_be_is_refused(frozen, act, message):
    with pytest.raises(InvalidOption, match=message):
        act(frozen)


def test_without_time_zones_a_naive_moment_is_local(settings):
    settings.USE_TZ = False
    assert FrozenClock(datetime(2031, 5, 17)).now() == datetime(2031, 5, 17).astimezone(UTC)  # noqa: DTZ001
