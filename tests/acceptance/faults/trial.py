"""One trial: load, a fault, the time until everything has ended, and what must hold then."""

import random
import traceback
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Self

from django.db import Error as AnyDatabaseError
from django.db import connection

from django_jobs.states import ENDED
from tests.acceptance.faults import faults_of_database, faults_of_people, faults_of_redis, faults_of_workers
from tests.acceptance.faults.effects import Run
from tests.acceptance.faults.invariants import violations
from tests.acceptance.faults.load import Load
from tests.acceptance.faults.scene import FAULTS, Fault, Scene
from tests.acceptance.faults.stage import Stage
from tests.waiting import wait_until

# Imported for what they add to the list.
MODULES = (faults_of_workers, faults_of_redis, faults_of_database, faults_of_people)
JOBS_BEFORE = 24
# Births and connections in vain are tried again ever more rarely; and the machine may be busy.
END_SECONDS = 300
CLEAN_SECONDS = 60


@dataclass(slots=True, kw_only=True)
class Report:
    """What came of a trial. `times`: how often the fault happened in it.

    `restart_seconds`: from a kill until each job that it cut off began again. `recovery_seconds`: from the end of the
    fault until all jobs had ended.
    """

    fault: str
    seed: int
    times: int = 1
    jobs: int = 0
    restart_seconds: list[float] = field(default_factory=list)
    recovery_seconds: float = 0.0
    violations: list[str] = field(default_factory=list)
    # What the workers said, where something was violated.
    said: str = ""


class Trials:
    """Trials on one stage, one after the other; after a violation on a new one, so that the next do not suffer from it.

    Rows of the last trial are looked at again in the next.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._stage: Stage | None = None
        self._last: Load | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave_stage()

    def run(self, fault: Fault, seed: int, jobs: int = JOBS_BEFORE) -> Report:
        """Let a fault happen under load."""
        if self._stage is None:
            self._stage = Stage(self._kind, random.Random(seed))
            self._stage.__enter__()
        stage = self._stage
        report = Report(fault=fault.name, seed=seed)
        try:
            self._go_through(stage, fault, report, jobs)
        except Exception:
            report.violations.append(f"the trial came to no end: {traceback.format_exc()}")
        if report.violations:
            report.said = stage.output()
            self._leave_stage()
        return report

    def _go_through(self, stage: Stage, fault: Fault, report: Report, jobs: int) -> None:
        chance = random.Random(f"{fault.name} {report.seed}")
        stage.chance.seed(f"{fault.name} {report.seed} victims")
        load = Load(stage, chance)
        load.enqueue(jobs)
        scene = Scene(stage, load, chance)
        kills_before = len(stage.fleet.killed_at)
        fault.act(scene)
        report.times = scene.times
        over_at = monotonic()
        _wait_for_the_end(load)
        report.recovery_seconds = monotonic() - over_at
        history = load.history(_left_after_a_while(stage))
        report.jobs = len(history.rows)
        report.restart_seconds = restarts_after(stage.fleet.killed_at[kills_before:], history.runs)
        report.violations = violations(history) + self._changed_since()
        load.ended_before = {id: row for id, row in history.rows.items() if row.state in ENDED}
        load.forget_older()
        self._last = load

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

    def _leave_stage(self) -> None:
        stage, self._stage, self._last = self._stage, None, None
        if stage is not None:
            stage.__exit__(None, None, None)


def restarts_after(kills: Sequence[float], runs: Sequence[Run]) -> list[float]:
    """Return for each body that was cut off how long after the kill the job began again."""
    found = []
    for cut in (run for run in runs if run.ended is None):
        again = [run.began for run in runs if run.job == cut.job and run.start > cut.start]
        # The first kill after it began: a later one hit others.
        killed = [at for at in kills if at >= cut.began]
        if again and killed:
            found.append(min(again) - min(killed))
    return found


def _left_after_a_while(stage: Stage) -> set[str]:
    """Return what stays in Redis. Who was declared dead late still has its bells rung once more, and they are taken."""
    left: set[str] = set()

    def is_clean() -> bool:
        nonlocal left
        left = stage.left_in_redis()
        return not left

    with suppress(AssertionError):
        wait_until(is_clean, CLEAN_SECONDS)
    return left


def _wait_for_the_end(load: Load) -> None:
    def is_over() -> bool:
        try:
            return not load.count_left()
        except AnyDatabaseError:
            connection.close()
            return False

    try:
        wait_until(is_over, END_SECONDS, what="the end of all jobs")
    except AssertionError as late:
        left = [row for row in load.rows().values() if row.state not in ENDED]
        raise AssertionError(f"nothing_is_lost: {late} {len(left)} jobs have not ended: {left[:3]}") from None


def chosen(names: Iterable[str], kind: str) -> list[Fault]:
    """Return the faults that are possible on a kind of database, all or those that are named."""
    wanted = set(names) or set(FAULTS)
    return [each for each in FAULTS.values() if each.name in wanted and kind in each.kinds]
