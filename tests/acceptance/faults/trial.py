"""One trial: load, a fault, the time until everything has ended, and what must hold then."""

import random
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from django.db import Error as AnyDatabaseError
from django.db import connection

from django_jobs.states import ENDED
from tests.acceptance.faults import faults_of_database, faults_of_people, faults_of_redis, faults_of_workers
from tests.acceptance.faults.invariants import History, violations
from tests.acceptance.faults.load import Load
from tests.acceptance.faults.scene import FAULTS, Fault, Scene
from tests.acceptance.faults.stage import Stage
from tests.waiting import wait_until

# Imported for what they add to the list.
MODULES = (faults_of_workers, faults_of_redis, faults_of_database, faults_of_people)
JOBS_BEFORE = 24
# Births in vain and connections in vain are tried again ever more rarely, up to so many seconds; on a busy machine.
END_SECONDS = 90
CLEAN_SECONDS = 20


@dataclass(slots=True, kw_only=True)
class Report:
    """What came of a trial. `recovery_seconds`: from the end of the fault until all jobs had ended."""

    fault: str
    seed: int
    jobs: int = 0
    recovery_seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


class Trials:
    """Trials on one stage, one after the other. Rows of the last one are looked at again in the next."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._last: Load | None = None

    def run(self, fault: Fault, seed: int, jobs: int = JOBS_BEFORE) -> Report:
        """Let a fault happen under load. What an earlier trial has broken is reported in this one."""
        chance = random.Random(f"{fault.name} {seed}")
        self._stage.chance.seed(f"{fault.name} {seed} victims")
        report = Report(fault=fault.name, seed=seed)
        load = Load(self._stage, chance)
        scene = Scene(self._stage, load, chance)
        load.enqueue(jobs)
        try:
            fault.act(scene)
            over_at = monotonic()
            _wait_for_the_end(load)
        except AssertionError as late:
            report.violations.append(f"nothing_is_lost: {late}; {_unfinished(load)}")
            return report
        report.recovery_seconds = monotonic() - over_at
        history = self._history(load, scene.foreign)
        report.jobs = len(history.rows)
        report.violations = violations(history) + self._changed_since()
        load.ended_before = {id: row for id, row in history.rows.items() if row.state in ENDED}
        load.forget_rows()
        self._last = load
        return report

    def _history(self, load: Load, foreign: Iterable[str]) -> History:
        """Return the history, once nothing is left in Redis or it has been waited for long enough."""
        with suppress(AssertionError):
            wait_until(lambda: not self._left(foreign), CLEAN_SECONDS)
        return load.history(self._left(foreign))

    def _left(self, foreign: Iterable[str]) -> set[str]:
        return self._stage.left_in_redis() - set(foreign)

    def _changed_since(self) -> list[str]:
        """Look again at what had ended after the last trial: whoever came back since must have changed nothing."""
        if self._last is None:
            return []
        now = self._last.rows()
        return [
            f"what_has_ended_stays_as_it_is: {row} had ended and is now {now[id]}"
            for id, row in self._last.ended_before.items()
            if id in now and now[id] != row
        ]


def _wait_for_the_end(load: Load) -> None:
    def is_over() -> bool:
        try:
            return not load.count_left()
        except AnyDatabaseError:
            connection.close()
            return False

    wait_until(is_over, END_SECONDS, what="the end of all jobs")


def _unfinished(load: Load) -> str:
    left = [row for row in load.rows().values() if row.state not in ENDED]
    return f"{len(left)} jobs have not ended, such as {left[:3]}"


def chosen(names: Iterable[str], kind: str) -> list[Fault]:
    """Return the faults that are possible on a kind of database, all or those that are named."""
    wanted = set(names) or set(FAULTS)
    return [each for each in FAULTS.values() if each.name in wanted and kind in each.kinds]
