"""How children come into the world: a process with a board and a lifeline; and when the next one may."""

import os
import subprocess
from dataclasses import replace

from django_jobs import clock
from django_jobs.lifecycle.workers import MOST_CONCURRENCY
from django_jobs.worker import child
from django_jobs.worker.board import KINDS, Board, make_board_file
from django_jobs.worker.interpreters import command
from django_jobs.worker.plan import Plan

# Each birth in vain in a row doubles the time to the next.
SHORTEST_PENALTY, LONGEST_PENALTY = 0.5, 30.0


class Births:
    """When the next child may be started: at once, unless the last ones came to nothing."""

    def __init__(self) -> None:
        self.next_at = self._penalty = 0.0

    def may_start(self) -> bool:
        return clock.monotonic() >= self.next_at

    def were_good(self) -> None:
        self._penalty = 0.0

    def were_vain(self) -> None:
        self._penalty = min(max(self._penalty * 2, SHORTEST_PENALTY), LONGEST_PENALTY)
        self.next_at = clock.monotonic() + self._penalty


class Child:
    """One child process as its supervisor sees it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.started_at = clock.monotonic()
        # Another process was started to take its place, and does so as soon as it can.
        self.is_relieved = False
        self.is_to_be_relieved = False
        # As many slots as it may ever be told to use.
        descriptor = make_board_file(KINDS * max(plan.concurrency, MOST_CONCURRENCY))
        reading, self._lifeline = os.pipe()
        handed = {"board": descriptor, "lifeline": reading, "plan": plan.to_text()}
        line, environment = command(child.__name__, handed)
        try:
            self.process = subprocess.Popen(line, env=environment, pass_fds=(descriptor, reading))
            self.board = Board(descriptor)
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(descriptor)
            os.close(reading)

    def is_gone(self) -> bool:
        return self.process.poll() is not None

    @property
    def wants_relief(self) -> bool:
        """Whether another process is to take its place: because it says so, or somebody else did."""
        return self.is_to_be_relieved or self.board.wants_relief

    def plan_of_successor(self) -> Plan:
        """Return its plan with what people have asked of it since."""
        if not self.board.concurrency:
            return self.plan  # it did not get so far as to hear anything
        return replace(self.plan, concurrency=self.board.concurrency, quiet=self.board.is_quiet)

    def signal(self, number: int) -> None:
        if not self.is_gone():
            self.process.send_signal(number)

    def close(self) -> None:
        os.close(self._lifeline)
        self.board.close()
