"""How children come into the world: a process with a board and a lifeline; and when the next one may."""

import os
import subprocess

from django_jobs import clock
from django_jobs.worker import child
from django_jobs.worker.board import Board, make_board_file
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
        # Threads, coroutines and sandboxes have slots of their own.
        descriptor = make_board_file(3 * plan.concurrency)
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

    def signal(self, number: int) -> None:
        if not self.is_gone():
            self.process.send_signal(number)

    def close(self) -> None:
        os.close(self._lifeline)
        self.board.close()
