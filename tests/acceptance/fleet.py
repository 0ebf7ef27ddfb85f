"""Several `runworkers` commands, and what can be done to them: kills and pauses, whom they hit being left to chance."""

import os
import random
import signal
import time
from contextlib import suppress
from typing import Any

from django_jobs.models import Job, Worker
from tests.conftest import StartWorkers
from tests.processes import Workers
from tests.waiting import wait_until

LIMITS = {"HEARTBEAT_SECONDS": 0.25, "DEAD_AFTER_SECONDS": 1.0}

FLEET = ("--processes", "2", "--concurrency", "6")


class Fleet:
    def __init__(
        self, start_workers: StartWorkers, size: int, chance: random.Random, arguments: tuple[str, ...] = FLEET
    ) -> None:
        self._start, self._chance, self._arguments = start_workers, chance, arguments
        self._all: list[Workers] = []
        # When somebody was killed, by this host's clock.
        self.killed_at: list[float] = []
        self.living = [self._new() for _ in range(size)]
        wait_until(lambda: all(self.children(each) for each in self.living), what="the first workers")

    def children(self, workers: Workers) -> list[Worker]:
        return list(Worker.objects.filter(supervisor_pid=workers.process.pid, dead_at=None))

    def kill_a_child(self) -> str:
        child = self.one_child()
        self.killed_at.append(time.time())
        _signal(child.pid, signal.SIGKILL)
        return f"killed {child}"

    def pause_a_child(self) -> str:
        """Its supervisor goes on beating for it, so it is not declared dead, and what it holds waits for it."""
        child = self.one_child()
        _signal(child.pid, signal.SIGSTOP)
        ended = Job.objects.ended().count()
        wait_a_while(lambda: Job.objects.ended().count() >= ended + 30)
        _signal(child.pid, signal.SIGCONT)
        return f"paused {child}"

    def pause_a_supervisor(self) -> str:
        """Its children go on, are declared dead while they work, and their jobs start elsewhere beside them."""
        workers = self._working_one()
        children = self.children(workers)
        _signal(workers.process.pid, signal.SIGSTOP)
        wait_a_while(lambda: _are_robbed(children))
        _signal(workers.process.pid, signal.SIGCONT)
        return f"paused the supervisor {workers.process.pid}"

    def pause_a_family(self) -> str:
        """All of them, as a suspended machine does it: they come back in the middle of jobs that were taken away."""
        workers = self._working_one()
        children = self.children(workers)
        os.killpg(workers.process.pid, signal.SIGSTOP)
        wait_a_while(lambda: _are_robbed(children))
        os.killpg(workers.process.pid, signal.SIGCONT)
        return f"paused the supervisor {workers.process.pid} and its children"

    def kill_a_supervisor(self) -> str:
        workers = self._chance.choice(self.living)
        self.living.remove(workers)
        self.killed_at.append(time.time())
        _signal(workers.process.pid, signal.SIGKILL)
        self.living.append(self._new())
        return f"killed the supervisor {workers.process.pid}"

    def kill_a_family(self) -> str:
        """All of them at once, as a machine that loses its power: nobody is left who knows."""
        workers = self._working_one()
        self.living.remove(workers)
        self.killed_at.append(time.time())
        workers.kill()
        self.living.append(self._new())
        return f"killed the supervisor {workers.process.pid} and its children"

    def replace_one(self) -> str:
        """Start a new command and have an old one end, with a second signal at once: nothing is waited for."""
        workers = self._chance.choice(self.living)
        self.living.remove(workers)
        self.living.append(self._new())
        wait_until(lambda: self.children(self.living[-1]), what="the new workers")
        workers.process.terminate()
        wait_a_while(lambda: workers.process.poll() is not None)
        workers.process.terminate()
        workers.wait()
        return f"replaced the supervisor {workers.process.pid}"

    def count_said(self, text: str) -> int:
        return sum(each.output().count(text) for each in self._all)

    def _new(self) -> Workers:
        self._all.append(self._start(*self._arguments, options=LIMITS))
        return self._all[-1]

    def one_child(self) -> Worker:
        return self._chance.choice(wait_until(lambda: self.children(self._chance.choice(self.living))))

    def _working_one(self) -> Workers:
        """Return one that has begun something."""
        workers = self._chance.choice(self.living)
        wait_a_while(
            lambda: Job.objects.running().filter(owner__in=[each.pk for each in self.children(workers)]).exists()
        )
        return workers


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _are_robbed(workers: list[Worker]) -> bool:
    """Tell whether these workers were declared dead and have nothing any more."""
    ids = [each.pk for each in workers]
    is_anybody_alive = Worker.objects.filter(pk__in=ids, dead_at=None).exists()
    return not is_anybody_alive and not Job.objects.running().filter(owner__in=ids).exists()


def wait_a_while(condition: Any) -> None:
    """Wait for what is likely but not sure: who stops in the middle of a write to SQLite stops everybody."""
    deadline = time.monotonic() + 6 * LIMITS["DEAD_AFTER_SECONDS"]
    wait_until(lambda: condition() or time.monotonic() > deadline)
