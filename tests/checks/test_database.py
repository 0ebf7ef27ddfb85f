"""Checks that ask the database itself."""

import pytest
from django.db import connections

from django_jobs.checks.database import check_database, is_too_old
from tests.checks.conftest import said
from tests.databases import database
from tests.servers import MariaDB, is_there


@pytest.mark.django_db(databases="__all__")
def test_the_database_of_this_run_is_good_enough():
    assert said(databases=["default"]) == []


@pytest.fixture
def ask(monkeypatch, settings, django_db_blocker):
    """Give `ask(url, **values)`, what the checks say about the database at this address, with these in its entry."""

    def ask(url, **values):
        entry = {**connections.settings["default"], "OPTIONS": {}, **database(url), **values}
        monkeypatch.setitem(connections.settings, "other", entry)
        settings.DJANGO_JOBS = {"DATABASE": "other"}
        try:
            with django_db_blocker.unblock():
                return check_database(databases=["other"])
        finally:
            connections["other"].close()
            del connections["other"]

    return ask


@pytest.fixture
def sqlite(ask, tmp_path):
    """Give `sqlite(**options)`, what the checks say about such a database in a file."""
    return lambda **options: ask(f"sqlite://{tmp_path}/lite.sqlite3", OPTIONS=options)


WAL = "PRAGMA journal_mode=WAL"


def test_sqlite_as_django_opens_it_is_a_warning_with_the_options_to_write(sqlite):
    (warning,) = sqlite()
    assert warning.id == "django_jobs.W001"
    assert '"OPTIONS": {"transaction_mode": "IMMEDIATE"' in warning.hint
    assert WAL in warning.hint


@pytest.mark.parametrize("mode", ["IMMEDIATE", "immediate", "EXCLUSIVE"])
def test_sqlite_that_writes_from_the_start_beside_readers_is_right(sqlite, mode):
    assert sqlite(transaction_mode=mode, init_command=WAL) == []
    # The file remembers.
    assert sqlite(transaction_mode=mode) == []


def test_sqlite_without_a_write_ahead_log_is_a_warning(sqlite):
    (warning,) = sqlite(transaction_mode="IMMEDIATE")
    assert "has no write-ahead log" in warning.msg


def test_sqlite_that_returns_nothing_is_too_old(sqlite, monkeypatch):
    monkeypatch.setattr("django.db.backends.sqlite3.base.Database.sqlite_version_info", (3, 34, 1))
    (error,) = sqlite(transaction_mode="IMMEDIATE", init_command=WAL)
    assert (error.id, "SQLite 3.34.1" in error.msg) == ("django_jobs.E008", True)


@pytest.mark.django_db(databases="__all__")
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


class Statements(MariaDB):
    """A server that replicates statements, and makes tables without transactions."""

    def command(self):
        return (
            *super().command(),
            *("--log-bin=log", "--server-id=1", "--binlog-format=STATEMENT", "--default-storage-engine=MyISAM"),
        )


@pytest.mark.skipif(not is_there("mariadbd"), reason="needs MariaDB")
@pytest.mark.once
def test_a_server_that_would_refuse_or_forget_what_workers_write_is_an_error(ask):
    with Statements(durable=False) as server:
        told = ask(server.url, NAME="mysql")
    assert [each.id for each in told] == ["django_jobs.E018", "django_jobs.E019"]
    assert "MyISAM" in told[0].msg
    assert "Set binlog_format = ROW" in told[1].hint
