"""Checks of settings: each fires with a hint, and is silent when all is right."""

import pytest
from django.db import connections

from django_jobs.checks.settings import check_settings
from tests.checks.conftest import said

# Django's own checks of models ask each database what it can, the first time.
pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.mark.parametrize("address", ["database:", "redis://127.0.0.1:6379/0", "embedded:"])
def test_settings_that_can_work_are_passed_over_in_silence(ids, address):
    assert ids(TRANSPORT=address, QUEUES={"mail": {"MAX_ATTEMPTS": 5}}) == set()


def test_no_setting_at_all_is_right(settings):
    del settings.DJANGO_JOBS
    assert said() == []


def test_a_setting_that_does_not_exist_is_an_error(ids, message):
    assert ids(TRANSPROT="database:") == {"E001"}
    told = message(TRANSPROT="database:")
    assert told.startswith("DJANGO_JOBS has no setting 'TRANSPROT'. Did you mean 'TRANSPORT'?")
    assert told.endswith("See docs/checks.md#e001")


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        ({"transport": "database:"}, "TRANSPORT"),
        ({"QUEUES": {"mail": {"MAX_ATEMPTS": 5}}}, "MAX_ATTEMPTS"),
        ({"QUEUES": {"mail": {"agein": 5}}}, "AGEING"),
        ({"QUEUES": {"mail": {"KEEP": {"succesful": 5}}}}, "successful"),
        ({"KEEP": {"faild": 5}}, "failed"),
        ({"DATABASE": "defualt"}, "default"),
        ({"TRANSPORT": "reddis://localhost"}, "redis"),
    ],
)
def test_what_was_meant_is_guessed_on_every_level(message, options, meant):
    assert f"Did you mean {meant!r}?" in message(**options)


def test_naive_times_are_an_error_that_says_why(settings, message):
    settings.USE_TZ = False
    assert message().startswith("Jobs need USE_TZ = True. The database tells when a job is due, in UTC.")


def test_a_database_that_is_not_configured_is_an_error(ids):
    assert ids(DATABASE="defualt") == {"E003"}


@pytest.fixture
def database(monkeypatch):
    """Give `database(**values)`, the alias of a database like the default one but for these; nobody opens it."""
    alias = "other"

    def database(**values):
        monkeypatch.setitem(connections.settings, alias, {**connections.settings["default"], **values})
        return alias

    yield database
    del connections[alias]


def test_a_database_that_cannot_keep_jobs_is_an_error(message, database):
    told = message(DATABASE=database(ENGINE="django.db.backends.dummy"))
    assert "Use PostgreSQL, MariaDB, MySQL or SQLite." in told
    assert "#e004" in told


def test_a_router_that_keeps_the_tables_out_is_an_error(settings, message, ids):
    settings.DATABASE_ROUTERS = ["tests.checks.test_settings.NotHere"]
    told = message()
    assert "keeps the tables of django_jobs out of the database 'default'" in told
    assert "#e015" in told


class NotHere:
    def allow_migrate(self, db, app_label, **hints):
        return None if app_label != "django_jobs" else db != "default"


def test_a_database_in_memory_is_a_warning(settings, database):
    settings.DJANGO_JOBS = {"DATABASE": database(ENGINE="django.db.backends.sqlite3", NAME=":memory:", OPTIONS={})}
    (told,) = check_settings()
    assert told.id == "django_jobs.W004"
    assert "in the memory of this process: workers, which are others, never see a job." in told.msg


def test_a_database_in_memory_that_django_made_for_tests_is_right(settings, database):
    name = "file:memorydb_default?mode=memory&cache=shared"
    settings.DJANGO_JOBS = {"DATABASE": database(ENGINE="django.db.backends.sqlite3", NAME=name, OPTIONS={})}
    assert check_settings() == []


@pytest.mark.parametrize(
    "queues",
    [
        {"mail": {"MAX_ATEMPTS": 5}},
        {"mail": {"MAX_ATTEMPTS": 0}},
        {"mail": {1: 2}},
        {"mail": {"AGEING": 0}},
        {"mail": {"QUEUE_NAME": "mail"}},
        {"not a name": {}},
    ],
)
def test_queues_are_checked(ids, queues):
    assert ids(QUEUES=queues) == {"E005"}


def test_a_middleware_that_cannot_be_loaded_is_told_before_a_job_needs_it(message):
    said = message(TRANSPORT="database:", MIDDLEWARE=["shop.Missing"])
    assert "DJANGO_JOBS['MIDDLEWARE'] names 'shop.Missing', which cannot be imported" in said


def test_a_rule_of_retention_that_cannot_work_is_an_error(ids):
    assert ids(KEEP={"failed": "a week"}) == {"E010"}
    assert ids(KEEP={"failed": 60}) == set()


@pytest.mark.parametrize("timeout", [0, -1, "1 min", True])
def test_a_general_timeout_that_cannot_work_is_an_error(message, timeout):
    assert "DJANGO_JOBS['TIMEOUT'] must be a number of seconds above 0 or None" in message(TIMEOUT=timeout)


@pytest.mark.parametrize("name", ["TIMEOUT", "HEARTBEAT_SECONDS", "DEAD_AFTER_SECONDS", "GRACE_SECONDS"])
@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e30])
def test_a_duration_that_has_no_end_is_an_error(message, name, seconds):
    assert f"DJANGO_JOBS['{name}'] must be at most 1,000 years, in seconds, not {seconds!r}." in message(
        **{name: seconds}
    )


@pytest.mark.parametrize("size", [0, 1023, 262_145, "64k", True, None])
def test_a_size_of_tracebacks_that_cannot_work_is_an_error(message, size):
    assert "DJANGO_JOBS['MAX_TRACEBACK_BYTES'] must be a whole number from 1024" in message(MAX_TRACEBACK_BYTES=size)
