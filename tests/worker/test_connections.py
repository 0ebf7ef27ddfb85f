"""Connections after a body: clean and open, unless they are broken or old."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import ceil
from typing import Any

import pytest
from django.db import Error, connection, transaction

from django_jobs import Job
from django_jobs.conf import get_settings
from django_jobs.transitions.transactions import in_transaction
from django_jobs.worker.connections import OLDEST_SECONDS, care_for_connections, use_own_connection
from tests.project.jobs import add
from tests.project.models import Effect
from tests.threads import together
from tests.worker.clocks import MovedClock

pytestmark = pytest.mark.django_db(transaction=True)

JOB = "11111111-1111-1111-1111-111111111111"


def in_a_thread(story: Callable[[], None]) -> None:
    """Tell the story with a connection of its own."""
    together(1, lambda number, barrier: story())


def connect() -> Any:
    assert not Effect.objects.exists()
    return connection.connection


def is_kept(raw: Any) -> bool:
    """Tell whether it is still the same connection, and one that works, after it was cared for."""
    care_for_connections()
    if connection.connection is None:
        return False
    assert connection.connection is raw
    assert connection.get_autocommit()
    return not Effect.objects.exists()


def test_a_healthy_connection_is_kept():
    def story() -> None:
        raw = connect()
        assert all(is_kept(raw) for _ in range(3))

    in_a_thread(story)


def test_what_a_body_left_in_a_transaction_is_rolled_back():
    def story() -> None:
        connect()
        called = []
        transaction.atomic().__enter__()
        transaction.atomic().__enter__()
        transaction.on_commit(lambda: called.append(1))
        Effect.objects.create(job_id=JOB)
        care_for_connections()
        assert connection.connection is None
        with transaction.atomic():
            assert not Effect.objects.exists()
        assert not connection.in_atomic_block
        assert is_kept(connection.connection)
        assert not called

    in_a_thread(story)


def test_what_a_body_left_without_autocommit_is_rolled_back():
    def story() -> None:
        connect()
        transaction.set_autocommit(False)
        Effect.objects.create(job_id=JOB)
        care_for_connections()
        assert connection.connection is None
        assert not Effect.objects.exists()
        assert connection.get_autocommit()

    in_a_thread(story)


def test_an_error_of_the_body_costs_no_connection():
    def story() -> None:
        raw = connect()
        with pytest.raises(Error), connection.cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")
        assert is_kept(raw)

    in_a_thread(story)


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="has no server that could hang up")
def test_a_connection_that_broke_is_closed_and_the_next_body_has_a_new_one():
    def story() -> None:
        raw = connect()
        end = "SELECT pg_terminate_backend(%s)" if connection.vendor == "postgresql" else "KILL %s"
        number = raw.info.backend_pid if connection.vendor == "postgresql" else raw.thread_id()
        other = connection.copy()
        with other.cursor() as cursor:
            cursor.execute(end, [number])
        other.close()
        with suppress(Error):
            Effect.objects.exists()
        assert not is_kept(raw)
        assert not Effect.objects.exists()
        assert is_kept(connection.connection)

    in_a_thread(story)


def test_an_old_connection_is_closed(moved_clock: MovedClock):
    def story() -> None:
        raw = connect()
        assert is_kept(raw)
        moved_clock.seconds += OLDEST_SECONDS
        assert is_kept(raw)
        moved_clock.seconds += 1
        assert not is_kept(raw)
        # Its successor is as new as it is.
        raw = connect()
        assert is_kept(raw)
        moved_clock.seconds += OLDEST_SECONDS
        assert is_kept(raw)

    in_a_thread(story)


def test_queries_that_a_debugging_project_keeps_are_let_go(settings):
    settings.DEBUG = True

    def story() -> None:
        raw = connect()
        assert connection.queries
        care_for_connections()
        assert not connection.queries
        assert connection.connection is raw

    in_a_thread(story)


LEVELS: dict[str, tuple[dict[str, Any], str]] = {
    # psycopg.IsolationLevel.SERIALIZABLE by number, for the driver need not be installed.
    "postgresql": ({"isolation_level": 4}, "SHOW transaction_isolation"),
    "mysql": ({"isolation_level": "serializable"}, "SELECT VARIABLE_VALUE FROM information_schema.SESSION_VARIABLES "
              "WHERE VARIABLE_NAME = 'tx_isolation'"),
}  # fmt: skip


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="has one level only")
def test_the_workers_own_connection_is_read_committed_whatever_the_settings_say(monkeypatch: pytest.MonkeyPatch):
    def level() -> str:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(LEVELS[connection.vendor][1])
            return cursor.fetchone()[0].lower().replace("-", " ")

    def story() -> None:
        options = connection.settings_dict["OPTIONS"]
        for name, value in LEVELS[connection.vendor][0].items():
            monkeypatch.setitem(options, name, value)
        assert level() == "serializable"
        connection.close()
        use_own_connection("default")
        assert level() == "read committed"

    in_a_thread(story)


PREPARED = "SELECT COUNT(*) FROM pg_prepared_statements WHERE statement LIKE '%INSERT INTO \"django_jobs_job\"%'"


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only its driver prepares statements")
@pytest.mark.parametrize("allowed", [True, False], ids=["allowed", "not allowed"])
def test_statements_of_the_workers_own_connection_are_prepared_where_the_settings_allow_it(
    monkeypatch: pytest.MonkeyPatch, allowed: bool
):
    def story() -> None:
        if allowed:
            monkeypatch.setitem(connection.settings_dict["OPTIONS"], "prepare_threshold", 1)
        use_own_connection("default")
        ids = [add.enqueue(1, number).pk for number in range(3)]
        assert Job.objects.filter(pk__in=ids).count() == 3
        with connection.cursor() as cursor:
            cursor.execute(PREPARED)
            assert cursor.fetchone() == (int(allowed),)

    in_a_thread(story)


@pytest.mark.skipif("connection.vendor != 'mysql'", reason="PostgreSQL is told by other means")
@pytest.mark.parametrize("command", ["", "SET sql_mode = 'STRICT_ALL_TABLES';"], ids=["alone", "beside another"])
def test_mariadb_ends_a_session_that_is_frozen_in_a_transaction(monkeypatch: pytest.MonkeyPatch, command: str):
    def story() -> None:
        if command:
            monkeypatch.setitem(connection.settings_dict["OPTIONS"], "init_command", command)
        use_own_connection("default")
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@SESSION.idle_transaction_timeout, @@SESSION.sql_mode LIKE '%%STRICT_ALL%%'")
            assert cursor.fetchone() == (ceil(get_settings().DEAD_AFTER_SECONDS), int(bool(command)))

    in_a_thread(story)


ONLY_ON_POSTGRESQL = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only there it is told of limits")
LIMITS = ("idle_in_transaction_session_timeout", "lock_timeout")


def limits_now() -> tuple[str, ...]:
    with connection.cursor() as cursor:
        found = []
        for name in LIMITS:
            cursor.execute(f"SHOW {name}")
            found += cursor.fetchone()
    return tuple(found)


def limits_of(lock_wait_milliseconds: int | None = None) -> tuple[str, ...]:
    """Return the limits that hold in a transaction of ours, and see that it is one."""

    def work() -> tuple[str, ...]:
        assert connection.in_atomic_block
        return limits_now()

    return in_transaction("default", work, lock_wait_milliseconds=lock_wait_milliseconds)


@contextmanager
def tellings() -> Iterator[list[bool]]:
    """Give, for each time that the session is told its limits, whether that is inside of a transaction."""
    told: list[bool] = []

    def keep(execute: Any, sql: str, parameters: Any, many: bool, context: Any) -> Any:
        if "SET_CONFIG" in sql:
            told.append(connection.in_atomic_block)
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(keep):
        yield told


@pytest.fixture
def dead_after_two_seconds(settings: Any) -> None:
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "DEAD_AFTER_SECONDS": 2, "HEARTBEAT_SECONDS": 0.5}


@ONLY_ON_POSTGRESQL
def test_the_workers_own_session_is_told_its_limits_once_for_many_transactions(dead_after_two_seconds: None):
    def story() -> None:
        use_own_connection("default")
        with tellings() as told:
            assert {limits_of(50) for _ in range(20)} == {("2s", "50ms")}
        assert told == [False]

    in_a_thread(story)


@ONLY_ON_POSTGRESQL
def test_it_is_told_again_when_they_differ_and_without_any_those_of_the_settings_hold(
    dead_after_two_seconds: None, monkeypatch: pytest.MonkeyPatch
):
    def story() -> None:
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "options", "-c lock_timeout=7s")
        use_own_connection("default")
        with tellings() as told:
            for wait, expected in ((50, "50ms"), (50, "50ms"), (None, "7s"), (None, "7s"), (70, "70ms")):
                assert limits_of(wait) == ("2s", expected)
        assert told == [False] * 3

    in_a_thread(story)


@ONLY_ON_POSTGRESQL
@pytest.mark.parametrize("how", ["closed", "killed"])
def test_it_is_told_again_after_it_has_reconnected(dead_after_two_seconds: None, how: str):
    def story() -> None:
        use_own_connection("default")
        with tellings() as told:
            assert limits_of(50) == ("2s", "50ms")
            if how == "closed":
                connection.close()
            else:
                other = connection.copy()
                with other.cursor() as cursor:
                    cursor.execute("SELECT pg_terminate_backend(%s, 60000)", [connection.connection.info.backend_pid])
                other.close()
            assert limits_of(50) == ("2s", "50ms")
            assert limits_of(50) == ("2s", "50ms")
        assert told == [False] * 2

    in_a_thread(story)


@ONLY_ON_POSTGRESQL
def test_it_keeps_its_limits_after_a_transaction_that_failed(dead_after_two_seconds: None):
    """What is said in a transaction would be undone with it."""

    def story() -> None:
        def fail() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT nothing FROM nowhere")

        use_own_connection("default")
        with tellings() as told:
            with pytest.raises(Error):
                in_transaction("default", fail, lock_wait_milliseconds=50)
            assert limits_of(50) == ("2s", "50ms")
        assert told == [False]

    in_a_thread(story)


@ONLY_ON_POSTGRESQL
def test_any_other_session_is_told_in_each_transaction_and_keeps_nothing(dead_after_two_seconds: None):
    def story() -> None:
        before = limits_now()
        with tellings() as told:
            for _ in range(3):
                assert limits_of(50) == ("2s", "50ms")
                assert limits_now() == before
            assert limits_of() == ("2s", before[1])
        assert told == [True] * 4
        with transaction.atomic():
            assert limits_of(50) == before

    in_a_thread(story)


def test_the_workers_own_connection_stays_open_and_is_no_part_of_a_request(monkeypatch: pytest.MonkeyPatch):
    def story() -> None:
        monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
        use_own_connection("default")
        assert connection.settings_dict["CONN_MAX_AGE"] is None
        assert not connection.settings_dict["ATOMIC_REQUESTS"]
        assert not Effect.objects.exists()

    in_a_thread(story)


def test_what_was_interrupted_in_the_middle_leaves_no_connection():
    def story() -> None:
        raw = connect()
        care_for_connections(distrust=True)
        assert connection.connection is None
        assert connect() is not raw

    in_a_thread(story)


@ONLY_ON_POSTGRESQL
def test_a_lock_timeout_that_the_project_has_set_in_its_session_holds_in_our_transactions(dead_after_two_seconds):
    def story() -> None:
        with connection.cursor() as cursor:
            # As many projects do on connection_created.
            cursor.execute("SET lock_timeout = '3s'")
        assert limits_of() == ("2s", "3s")

    in_a_thread(story)
