"""The health of the parts: what is told of each, and when it is late or has failed."""

from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import CaptureQueriesContext

from django_jobs import clock, queues
from django_jobs.definitions.registry import any_sandboxed
from django_jobs.lifecycle import health, waiting
from django_jobs.lifecycle.findings import Status
from django_jobs.lifecycle.health import examine
from django_jobs.models import Job, Worker
from django_jobs.states import State
from tests import rows
from tests.transitions.test_plans import READY, explained, index_of, new_files, reads_all, sorts, statements, table

__all__ = ["new_files", "table"]
pytestmark = pytest.mark.django_db

NOTE = "samples.note"


def found(*, late_seconds=60.0):
    """Return what is found, by part."""
    return {each.part: each for each in examine(late_seconds)}


def wrong(**kwargs):
    """Return what is not well, as part -> status."""
    return {part: str(each.status) for part, each in found(**kwargs).items() if each.status is not Status.OK}


def put_due(seconds=0.0, **fields):
    """Put a job that could have started so long ago."""
    return rows.put(run_after=rows.now() - timedelta(seconds=seconds), **fields)


@pytest.fixture
def living():
    """A worker that serves every queue and knows one job."""
    return rows.worker(names=[NOTE])


# All is well


def test_nothing_is_wrong_where_a_worker_lives_and_nothing_waits_for_long(living):
    put_due(1)
    rows.put(State.RUNNING, owner=living)
    put_due(-3600)
    rows.put(State.FAILED)
    assert wrong() == {}
    told = {part: each.told for part, each in found().items()}
    assert told["transport"] == "recording"
    assert told["running"] == "1 jobs"
    assert told["queue default"].startswith("1 due, for up to ")
    assert told["queue mail"] == "nothing is due"


# Parts that are there or not


def test_wrong_settings_end_the_examination(living, settings):
    settings.DJANGO_JOBS = {"TRANSPROT": "database:"}
    (finding,) = examine()
    assert (finding.part, finding.status, finding.leaves_all_open) == ("settings", Status.FAILED, True)
    assert "Did you mean 'TRANSPORT'?" in finding.told


def test_a_transport_that_is_away_has_failed_and_the_rest_is_told_all_the_same(living, transport):
    transport.away = True
    assert wrong() == {"transport": "failed"}
    assert found()["transport"].told == "Nobody is there."
    assert "names" in found()


def test_a_transport_without_memory_makes_jobs_late(living, transport):
    transport.flushed = True
    assert wrong() == {"transport": "late"}


class FastClock(clock.SystemClock):
    def __init__(self, seconds):
        self.seconds = seconds

    def now(self):
        return super().now() + timedelta(seconds=self.seconds)


@pytest.mark.parametrize(
    ("seconds", "status"), [(2, Status.OK), (-2, Status.OK), (30, Status.LATE), (-30, Status.LATE)]
)
def test_clocks_that_differ_by_more_than_seconds_are_told(living, seconds, status):
    with clock.use_clock(FastClock(seconds)):
        finding = found()["database"]
    assert finding.status is status
    assert finding.facts["clock_difference_seconds"] == pytest.approx(-seconds, abs=1)


def test_a_missing_migration_leaves_all_open(living):
    MigrationRecorder(connection).record_unapplied("django_jobs", "0001_initial")
    *_, last = examine()
    assert (last.part, last.status, last.leaves_all_open) == ("migrations", Status.FAILED, True)
    assert (last.facts["pending"], last.advice) == (["0001_initial"], "Run: manage.py migrate django_jobs")


def test_the_command_that_migrates_names_a_database_of_the_jobs_own():
    assert health.migrate_command("jobs") == "manage.py migrate django_jobs --database jobs"


def test_a_database_that_is_away_leaves_all_open(living):
    with connection.execute_wrapper(refuse):
        *_, last = examine()
    assert (last.part, last.status, last.leaves_all_open) == ("database", Status.FAILED, True)
    assert last.told == "default cannot be asked: It went away."


def refuse(execute, sql, parameters, many, context):
    raise OperationalError("It went away.")


# Workers


def test_without_a_worker_nothing_works():
    rows.worker(dead_at=rows.now())
    put_due()
    assert wrong() == {"workers": "failed", "queue default": "failed"}
    # Whose names there are none knows: that is no further fault.
    assert "names" not in found()


def test_a_worker_that_does_not_beat_is_not_alive(living):
    silent = rows.worker(beat_at=rows.now() - rows.HOUR)
    assert wrong() == {"workers": "late"}
    rows.put(State.RUNNING, owner=silent)
    assert wrong() == {"workers": "late", "running": "late"}
    assert found()["running"].facts == {"running": 1, "orphans": 1}


def test_the_connections_that_workers_may_open_are_compared_with_those_that_the_server_takes(living, monkeypatch):
    told = found()["connections"]
    one = 2 + (3 if any_sandboxed() else 2)  # of a worker that runs one job of each kind at once
    # The supervisor has one too, and at times one more process.
    assert told.facts["workers_at_most"] == one + 1 + one
    assert ("limit" in told.facts) == (connection.vendor != "sqlite")
    monkeypatch.setattr(health, "connection_counts", lambda using: (3, 8))
    assert wrong() == {"connections": "late"}
    monkeypatch.setattr(health, "connection_counts", lambda using: (90, 100))
    assert wrong() == {"connections": "late"}
    monkeypatch.setattr(health, "connection_counts", lambda using: (89, 100))
    assert wrong() == {}


def test_jobs_that_run_on_dead_workers_wait_to_be_taken_back(living):
    rows.put(State.RUNNING, owner=rows.worker(dead_at=rows.now(), died=True))
    rows.put(State.RUNNING)
    assert wrong() == {"running": "late"}
    assert found()["running"].facts == {"running": 2, "orphans": 2}


def test_nobody_takes_them_back_where_no_worker_lives():
    rows.put(State.RUNNING, owner=rows.worker(dead_at=rows.now(), died=True))
    assert wrong() == {"workers": "failed", "running": "failed"}


# Queues


def test_a_queue_is_late_when_a_job_could_have_started_too_long_ago(living):
    put_due(100)
    assert wrong() == {"queue default": "late"}
    assert wrong(late_seconds=200) == {}
    facts = found()["queue default"].facts
    assert facts["oldest_seconds"] >= 100
    assert (facts["due"], facts["has_more"], facts["paused"], facts["served"]) == (1, False, False, True)


@pytest.mark.parametrize("fields", [{"priority": -50}, {"lifo": True}, {"priority": 100, "lifo": True}])
def test_the_oldest_job_counts_wherever_its_rank_puts_it(living, fields):
    for seconds in (1, 100, 1):
        put_due(seconds, **fields)
    put_due(1, priority=7)
    assert wrong() == {"queue default": "late"}
    assert found()["queue default"].facts["due"] == 4


def test_what_has_expired_is_not_late(living):
    put_due(100, expires_at=rows.now() - timedelta(seconds=50))
    put_due(100, expires_at=rows.now() + rows.HOUR, queue_name="mail")
    assert wrong() == {"queue mail": "late"}


def test_a_paused_queue_is_shown_and_not_wrong(living):
    put_due(100, name="nobody.knows")
    put_due(100, suspect=True)
    queues["default"].pause()
    assert wrong() == {}
    assert found()["queue default"].told.startswith("paused; 1 due, for up to 1 min ")


def test_a_queue_that_no_living_worker_serves_has_failed_only_when_something_is_due():
    rows.worker(names=[NOTE], queues=["default"])
    assert wrong() == {}
    put_due(queue_name="mail")
    assert wrong() == {"queue mail": "failed"}
    assert found()["queue mail"].advice == "Start one: manage.py runworkers --queue mail"


def hand(**fields):
    """Put a program that takes from one queue by hand; times are ages in seconds."""
    for name in fields.keys() & {"dead_at", "beat_at"}:
        fields[name] = rows.now() - timedelta(seconds=fields[name])
    values = {"supervisor_pid": 0, "queues": ["mail"], **fields}
    return rows.worker(**values)


@pytest.mark.parametrize("fields", [{}, {"dead_at": 0.1}], ids=["holds a job", "is between two"])
def test_a_queue_that_is_worked_by_hand_is_served(fields):
    rows.worker(names=[NOTE], queues=["default"])
    hand(**fields)
    put_due(1, queue_name="mail", name="nobody.declares")
    assert wrong() == {}
    assert found()["queue mail"].told.endswith("; worked by hand")
    put_due(100, queue_name="mail")
    assert wrong() == {"queue mail": "late"}


@pytest.mark.parametrize(
    "fields",
    [{"dead_at": 60}, {"dead_at": 0.1, "died": True}, {"beat_at": 3600}, {"queues": ["default"]}],
    ids=["long ago", "died", "silent", "another queue"],
)
def test_who_took_by_hand_and_is_gone_or_elsewhere_does_not_serve_a_queue(fields):
    rows.worker(names=[NOTE], queues=["default"])
    hand(**fields)
    put_due(queue_name="mail")
    assert wrong() == {"queue mail": "failed"}


def test_who_takes_by_hand_knows_the_names_that_it_takes():
    rows.worker(names=[NOTE], queues=["default"])
    hand(names=["shop.send"])
    put_due(queue_name="mail", name="shop.send")
    assert wrong() == {}
    put_due(queue_name="mail")
    assert wrong() == {"names": "failed"}


def test_who_takes_by_hand_is_no_worker_that_takes_back_the_jobs_of_the_dead():
    rows.put(State.RUNNING, owner=hand(), queue_name="mail")
    put_due(1, queue_name="mail")
    assert wrong() == {"workers": "failed"}
    rows.put(State.RUNNING)
    assert wrong() == {"workers": "failed", "running": "failed"}


def test_a_queue_whose_workers_are_all_quiet_is_late(living):
    Worker.objects.update(quiet=True)
    assert wrong() == {}
    put_due(1)
    assert wrong() == {"queue default": "late"}
    assert "jobworkers resume" in found()["queue default"].advice
    rows.worker(names=[NOTE])
    assert wrong() == {}


def test_a_queue_that_nobody_declares_is_found(living):
    put_due(queue_name="forgotten")
    assert wrong() == {"queue forgotten": "failed"}
    assert "Nothing declares it." in found()["queue forgotten"].advice


def test_of_many_jobs_only_the_oldest_are_looked_at(living, monkeypatch):
    monkeypatch.setattr(waiting, "LOOKED_AT", 3)
    Job.objects.bulk_create([rows.new(run_after=rows.now() - timedelta(seconds=each)) for each in range(20)])
    put_due(100, name="nobody.knows")
    finding = found()["queue default"]
    assert finding.told.startswith("3+ due, for up to 1 min ")
    assert wrong() == {"queue default": "late", "names": "failed"}


def test_the_number_of_questions_does_not_grow_with_the_jobs(living):
    put_due()
    with CaptureQueriesContext(connection) as few:
        found()
    Job.objects.bulk_create([rows.new() for _ in range(50)])
    with CaptureQueriesContext(connection) as many:
        found()
    assert len(many) == len(few)


def test_nothing_that_is_asked_reads_the_whole_table(table, monkeypatch):
    # Few of those that are there, as it is with the real number in a large table.
    monkeypatch.setattr(waiting, "LOOKED_AT", 5)
    with statements() as sent:
        found()
    pages = [explained(sql, parameters) for sql, parameters in sent if "BETWEEN" in sql]
    assert pages
    for plan in pages:
        assert READY in [index_of(step) for step in plan], plan
        # PostgreSQL rather sorts the handful of a priority that are due here; it knows how many they are.
        assert connection.vendor == "postgresql" or not [step for step in plan if sorts(step)], plan
    for sql, parameters in sent:
        # MySQL tells of a hop to the next entry as it does of a walk over all of them.
        if not sql.endswith("LIMIT 1"):
            assert not [step for step in explained(sql, parameters) if reads_all(step) and not is_partial(step)], sql


def is_partial(step):
    """Tell whether what is read to its end is the index of the running jobs alone."""
    return connection.vendor == "sqlite" and step["detail"].endswith("INDEX django_jobs_owner")


# Suspects and names


def test_suspects_are_late_when_they_wait_for_too_long(living):
    put_due(10, suspect=True)
    assert wrong() == {}
    assert found()["suspects"].told.startswith("1 due, for up to ")
    put_due(100, suspect=True, queue_name="mail")
    assert wrong() == {"suspects": "late"}


def test_a_job_that_no_living_worker_of_its_queue_knows_is_named():
    rows.worker(names=[NOTE], queues=["default"])
    rows.worker(names=[NOTE, "shop.send"], queues=["mail"])
    put_due(name="shop.send", queue_name="mail")
    assert wrong() == {}
    put_due(name="shop.send")
    assert wrong() == {"names": "failed"}
    assert found()["names"].facts == {"unknown": {"shop.send": ["default"]}}
    assert found()["names"].told.endswith("knows shop.send in default")
