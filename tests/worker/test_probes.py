"""The health port, the service manager's socket, and the first process of a container."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from uuid import uuid4

import pytest

from django_jobs.errors import WorkerError
from django_jobs.worker import orphans
from django_jobs.worker.probes import Probes
from django_jobs.worker.standing import LONGEST_ROUND_SECONDS, ChildStanding, Standing
from django_jobs.worker.systemd import Systemd, of_environment
from tests.conftest import StartWorkers
from tests.processes import worker_environment
from tests.project.jobs import wait_at
from tests.servers import free_port
from tests.waiting import wait_until
from tests.worker.clocks import MovedClock
from tests.worker.watching import Gate, end_of, living_workers, runs

pytestmark = pytest.mark.once

CHILD = ChildStanding(
    pid=1, worker=uuid4(), turned_at=1000.0, running=0, concurrency=10, is_quiet=False, is_leaving=False
)


def standing(*children: ChildStanding, **changes: Any) -> Standing:
    values = {"seen_at": 1000.0, "wanted": len(children), "last_beat": 1000.0, "is_stopping": False}
    return Standing(children=children, **{**values, "is_reloading": False, **changes})


def changed(**changes: Any) -> ChildStanding:
    return ChildStanding(**{name: getattr(CHILD, name) for name in CHILD.__slots__} | changes)


def ask(port: int, path: str) -> tuple[int, dict[str, Any]]:
    """Return status and body of an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture
def probes() -> Iterator[Probes]:
    probes = Probes("127.0.0.1", 0)
    yield probes
    probes.close()


@pytest.mark.parametrize(
    ("told", "live", "ready"),
    [
        (standing(CHILD), True, True),
        (standing(CHILD, wanted=2), True, False),
        (standing(changed(worker=None)), True, False),
        (standing(CHILD, is_stopping=True), True, False),
        (standing(CHILD, last_beat=900.0), True, False),
        (standing(changed(is_leaving=True), CHILD, wanted=1), True, True),
        (standing(changed(turned_at=900.0)), False, False),
        (standing(changed(turned_at=900.0, running=1)), True, True),
        (standing(CHILD, seen_at=1000.0 - LONGEST_ROUND_SECONDS - 1), False, False),
    ],
    ids=[
        *("all is well", "one is missing", "one is not registered", "stopping", "the database does not hear"),
        *("one was relieved", "a loop stands still", "a body holds the loop", "the supervisor stands still"),
    ],
)
def test_live_and_ready_are_told_by_status(
    moved_clock: MovedClock, probes: Probes, told: Standing, live: bool, ready: bool
):
    probes(told)
    answers = [ask(probes.port, path)[0] for path in ("/live", "/ready", "/")]
    assert answers == [200 if each else 503 for each in (live, ready, live and ready)]


def test_who_waits_for_migrations_lives_and_is_not_ready_and_elsewhere_is_nothing(probes: Probes):
    assert [ask(probes.port, path)[0] for path in ("/live", "/ready", "/")] == [200, 503, 503]
    assert ask(probes.port, "/metrics/x")[0] == 404


def test_a_port_that_somebody_else_has_is_refused(probes: Probes):
    with pytest.raises(WorkerError, match=f"The health port {probes.port} on '127.0.0.1' cannot be opened"):
        Probes("127.0.0.1", probes.port)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Listen as systemd does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(60)
        yield listening


def heard(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_the_service_manager_hears_each_change_once_and_the_watchdog_in_time(
    moved_clock: MovedClock, manager: socket.socket
):
    systemd = Systemd(manager.getsockname(), 10.0)
    systemd(standing(changed(worker=None)))
    assert heard(manager) == ["STATUS=working; 1 worker processes, 0 of 10 jobs running", "WATCHDOG=1"]
    systemd(standing(CHILD))
    assert heard(manager) == ["READY=1"]
    moved_clock.seconds += 5
    systemd(standing(changed(running=2)))
    assert heard(manager) == ["STATUS=working; 1 worker processes, 2 of 10 jobs running", "WATCHDOG=1"]
    now = moved_clock.seconds
    systemd(standing(changed(running=2), last_beat=now, is_reloading=True))
    reloading, since = heard(manager)
    assert (reloading, since.partition("=")[0]) == ("RELOADING=1", "MONOTONIC_USEC")
    systemd(standing(changed(running=2), last_beat=now))
    assert heard(manager) == ["READY=1"]
    systemd(standing(changed(running=2), is_stopping=True))
    assert heard(manager) == ["STOPPING=1", "STATUS=stopping; 1 worker processes, 2 of 10 jobs running"]
    systemd(standing(changed(running=2), is_stopping=True))
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(1)
    systemd.close()


def test_a_watchdog_that_is_meant_for_another_process_is_left_alone_and_children_inherit_nothing(
    monkeypatch: pytest.MonkeyPatch, manager: socket.socket, moved_clock: MovedClock
):
    for name, value in {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}.items():
        monkeypatch.setenv(name, value)
    systemd = of_environment()
    assert systemd is not None
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & os.environ.keys()
    systemd(standing(CHILD))
    assert "WATCHDOG=1" not in heard(manager)
    systemd.close()
    assert of_environment() is None


@pytest.mark.django_db(transaction=True)
def test_real_workers_tell_probes_and_the_service_manager(
    start_workers: StartWorkers, gate: Gate, manager: socket.socket
):
    port = free_port()
    notified = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "3000000"}
    workers = start_workers("--processes", "2", "--health-port", str(port), environment=notified)
    wait_until(lambda: f"Probes are answered on 127.0.0.1:{port}." in workers.output(), what="the health port")
    told: list[str] = []
    while "READY=1" not in told:
        told += heard(manager)
    assert "WATCHDOG=1" in told
    status, body = ask(port, "/")
    assert (status, body["ready"], len(body["workers"])) == (200, True, 2)
    assert {each["id"] for each in body["workers"]} == {str(each.pk) for each in living_workers(2)}
    job = runs(wait_at.enqueue(gate.path))
    wait_until(lambda: sum(each["running"] for each in ask(port, "/")[1]["workers"]) == 1, what="the job is shown")
    workers.process.terminate()
    wait_until(lambda: ask(port, "/ready")[0] == 503, what="no longer ready")
    assert ask(port, "/live")[0] == 200
    gate.open()
    assert end_of(job).result is None
    assert workers.wait() == 0


@pytest.mark.django_db(transaction=True)
def test_where_it_is_installed_setproctitle_names_the_processes(start_workers: StartWorkers):
    pytest.importorskip("setproctitle")

    def title(pid: int) -> str:
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0")

    workers = start_workers("--queue", "mail", "--queue", "default", "--concurrency", "3")
    (worker,) = living_workers()
    wait_until(lambda: title(worker.pid) == "django_jobs worker: mail, default, 0 of 3 jobs", what="the title")
    assert title(workers.process.pid) == "django_jobs supervisor: mail, default"


REAPER = """
import ctypes, os, subprocess, sys, time
from django_jobs.worker import orphans
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
orphans.FIRST = os.getpid()
own = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
subprocess.run(["sh", "-c", "sleep 0.1 & sleep 0.1 &"], check=True)
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    orphans.reap_orphans(() if own.returncode is not None else {own.pid})
    own.poll()
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        print(own.returncode)
        raise SystemExit
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux lets any process inherit orphans.")
def test_orphans_are_buried_and_own_children_are_left_to_their_parent():
    done = subprocess.run([sys.executable, "-c", REAPER], capture_output=True, text=True, env=worker_environment({}))
    assert (done.stdout, done.stderr) == ("7\n", "")


def test_who_is_not_the_first_process_buries_nobody():
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        orphans.reap_orphans(())
        assert other.wait() == 0


def has_namespaces() -> bool:
    unshare = shutil.which("unshare")
    return unshare is not None and not subprocess.run([unshare, "-pf", "true"], capture_output=True).returncode


@pytest.mark.skipif(not has_namespaces(), reason="This system gives no process a namespace of its own.")
@pytest.mark.django_db(transaction=True)
def test_the_first_process_of_a_container_works_buries_and_ends_by_a_signal(tmp_path: Path):
    """In a namespace of processes of its own, as in a container without an init."""
    command = [sys.executable, "-m", "django", "runworkers"]
    log = tmp_path / "log"
    with log.open("wb") as file:
        container = subprocess.Popen(
            ["unshare", "-pf", "--kill-child", *command],
            env=worker_environment({}) | {"DJANGO_JOBS_TEST_IMPORTS": "tests.worker.orphaning"},
            stdout=file,
            stderr=file,
        )
    try:
        from tests.worker.orphaning import leave_an_orphan

        orphan = end_of(leave_an_orphan.enqueue()).result
        first = children_of(container.pid)[0]
        wait_until(lambda: not zombies_below(first), what=f"the end of the orphan {orphan}")
        os.kill(first, signal.SIGTERM)
        assert container.wait(60) == 0, log.read_text()
    finally:
        container.kill()
        container.wait()


def children_of(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def zombies_below(pid: int) -> list[int]:
    return [
        each for each in children_of(pid) if Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    ]
