"""A database that restarts, dies, forgets, ends sessions, or is not reached by some."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.db import Error as AnyDatabaseError
from django.db import connection
from django.db.utils import ConnectionHandler

from tests.acceptance.faults.scene import LIMIT, Scene, fault
from tests.databases import database

AWAY = (0.2, 0.5, 1.5)


@fault()
def database_restarted(scene: Scene) -> None:
    """It is told to end, which ends all sessions, and starts again."""
    scene.until_running()
    connection.close()
    scene.stage.database.stop()
    _start_again(scene)


@fault()
def database_killed(scene: Scene) -> None:
    """It stops where it stands and recovers at the next start: whatever was answered has happened."""
    scene.until_running()
    connection.close()
    scene.stage.database.kill()
    _start_again(scene)


def _start_again(scene: Scene) -> None:
    scene.go_on(scene.chance.choice(AWAY), enqueue=scene.chance.random() < 0.5)
    scene.stage.database.start()


@fault()
def sessions_ended(scene: Scene) -> None:
    """The sessions of all workers are ended, several times."""
    for _ in range(3):
        scene.go_on(0.15)
        end_sessions()


def end_sessions() -> None:
    """End all sessions but this one."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            return
        cursor.execute("SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user = 'root'")
        for (number,) in cursor.fetchall():
            with suppress(AnyDatabaseError):  # it has ended by itself
                cursor.execute(f"KILL {int(number)}")


@fault()
def database_paused(scene: Scene) -> None:
    """SIGSTOP for all of its processes beyond the limit: nobody can beat, and nobody is declared dead for it."""
    scene.until_running()
    process = scene.stage.database.process
    assert process is not None
    pids = [process.pid, *_children(process.pid)]
    connection.close()
    for pid in pids:
        _signal(pid, signal.SIGSTOP)
    try:
        scene.go_on(2 * LIMIT, enqueue=False)
    finally:
        for pid in pids:
            _signal(pid, signal.SIGCONT)


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@fault("postgresql")
def database_forgets(scene: Scene) -> None:
    """It loses the last commits although it has answered them, as when a replica that lags takes over."""
    scene.load.has_forgotten = True
    _set_in_server(scene, "synchronous_commit = off", "wal_writer_delay = 10000")
    scene.load.enqueue(20)
    scene.until_some_ended()
    connection.close()
    scene.stage.database.kill()
    scene.stage.database.start()
    _set_in_server(scene, "synchronous_commit = DEFAULT", "wal_writer_delay = DEFAULT")


@fault("postgresql")
def strictest_isolation(scene: Scene) -> None:
    """All transactions but the workers' own are serializable, so that bodies and producers collide."""
    _set_in_server(scene, "default_transaction_isolation = 'serializable'")
    try:
        end_sessions()
        scene.go_on(0.7)
        scene.fleet.kill_a_child()
        scene.go_on(0.3)
    finally:
        _set_in_server(scene, "default_transaction_isolation = DEFAULT")
        end_sessions()


def _set_in_server(scene: Scene, *settings: str) -> None:
    with connection.cursor() as cursor:
        for setting in settings:
            cursor.execute(f"ALTER SYSTEM SET {setting}")
        cursor.execute("SELECT pg_reload_conf()")


@fault()
def database_out_of_reach_of_some(scene: Scene) -> None:
    """One host cannot reach the database for longer than the limit: others have its jobs, and it comes back anew."""
    scene.until_running()
    proxy = scene.stage.database_proxy
    proxy.is_cut = True
    proxy.reset()
    scene.go_on(2 * LIMIT)
    proxy.heal()


@fault()
def database_silent_to_some(scene: Scene) -> None:
    """Nothing comes through between one host and the database, nobody is told, and later all of it arrives."""
    scene.until_running()
    scene.stage.database_proxy.stall()
    scene.go_on(1.5 * LIMIT)
    scene.stage.database_proxy.heal()


@fault()
def database_slow_for_some(scene: Scene) -> None:
    """Each statement of one host takes 40 ms more."""
    scene.stage.database_proxy.delay = 0.02
    scene.go_on(0.7)
    scene.stage.database_proxy.heal()


@fault()
def connections_used_up(scene: Scene) -> None:
    """Others have all the connections that the server gives, and the workers have lost theirs."""
    with _all_connections(scene):
        scene.go_on(scene.chance.choice(AWAY))


@contextmanager
def _all_connections(scene: Scene) -> Iterator[None]:
    entry, held = database(scene.stage.database.url), []
    end_sessions()
    try:
        with suppress(AnyDatabaseError):
            while True:
                held.append(ConnectionHandler({"default": entry})["default"])
                held[-1].ensure_connection()
        yield
    finally:
        for each in held:
            each.close()
