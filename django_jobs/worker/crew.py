"""The crew: the children of one supervisor. A place that becomes vacant is filled again; who wants it is relieved."""

import logging
import signal

from django_jobs import clock
from django_jobs.worker.births import Births, Child
from django_jobs.worker.child import RECYCLED
from django_jobs.worker.interpreters import cause_of_end
from django_jobs.worker.plan import Plan

logger = logging.getLogger("django_jobs")

# A child that lived no longer than this, and died under no body, died of itself.
YOUNG_SECONDS = 5.0


class Crew:
    """As many children as the plan says, and at times one more: for suspects, or to relieve another one."""

    def __init__(self, plan: Plan) -> None:
        self.children: list[Child] = []
        self._plan = plan
        self._vacant = [plan] * plan.processes
        self._births, self._suspects_births = Births(), Births()
        # Who is to be relieved, and by whom: one at a time, so that many who ask together cost one process more.
        self._relief: tuple[Child, Child] | None = None

    @property
    def regulars(self) -> list[Child]:
        """Those that hold a place, or did until their relief came."""
        return [each for each in self.children if not each.plan.suspects_only]

    @property
    def wanted(self) -> int:
        """How many children there shall be, beside one for suspects."""
        relieved = sum(each.is_relieved for each in self.regulars) + (self._relief is not None)
        return len(self._vacant) + len(self.regulars) - relieved

    @property
    def is_changing(self) -> bool:
        """Whether somebody is to be born as soon as may be, or about to be relieved."""
        return bool(self._vacant or self._relief) or self.is_reloading

    @property
    def is_reloading(self) -> bool:
        """Whether children that were told to make room for fresh code still wait for their relief."""
        return any(each.is_to_be_relieved and not each.is_relieved for each in self.regulars)

    def start_missing(self) -> None:
        """Fill the places that are vacant, and let who wants it be relieved."""
        self._vacant = [plan for plan in self._vacant if self._start(plan, self._births) is None]
        self._go_on_with_relief()

    def relieve_all(self) -> None:
        """Replace every child by a fresh one, one after the other; who has not even begun needs none."""
        for each in self.regulars:
            each.is_to_be_relieved = True

    def start_for_suspects(self) -> None:
        """Start a child that runs suspects, unless there is one."""
        self._start(self._plan.for_suspects(), self._suspects_births)

    @property
    def may_start_for_suspects(self) -> bool:
        return self._suspects_births.may_start() and not any(each.plan.suspects_only for each in self.children)

    def dismiss_all(self) -> None:
        """Fill no place any more."""
        self._vacant, self._relief = [], None

    def signal(self, number: int) -> None:
        for each in self.children:
            each.signal(number)

    def take_the_gone(self, *, are_stopping: bool) -> list[Child]:
        """Return the children that have ended, which are no part of the crew any more, and see to their places."""
        gone = [each for each in self.children if each.is_gone()]
        for each in gone:
            self.children.remove(each)
            self._judge(each, are_stopping=are_stopping)
            if self._leaves_a_vacancy(each) and not are_stopping:
                self._vacant.append(each.plan_of_successor())
        return gone

    def _start(self, plan: Plan, births: Births) -> Child | None:
        if not births.may_start():
            return None
        try:
            child = Child(plan)
        except OSError as error:  # no more processes, memory or descriptors: those that run shall go on
            births.were_vain()
            logger.error("A worker process cannot be started now. %s", error)
            return None
        self.children.append(child)
        return child

    def _go_on_with_relief(self) -> None:
        """Start the relief, and let who waits for it go when it has come: so there are never fewer at work."""
        if self._relief is None:
            tired = next((each for each in self.regulars if each.wants_relief and not each.is_relieved), None)
            fresh = None if tired is None else self._start(tired.plan_of_successor(), self._births)
            if tired is not None and fresh is not None:
                self._relief = tired, fresh
            return
        tired, fresh = self._relief
        if fresh.board.worker is not None:
            self._relief = None
            tired.is_relieved = True
            tired.signal(signal.SIGTERM)

    def _leaves_a_vacancy(self, gone: Child) -> bool:
        tired, fresh = self._relief or (None, None)
        if gone in (tired, fresh):
            self._relief = None
            # Of the two one is left: that holds the place.
            return False
        if gone.plan.suspects_only or gone.is_relieved:
            return False
        has_ended = gone.board.has_left and gone.process.returncode != RECYCLED
        return not (has_ended and (gone.plan.burst or gone.board.is_dismissed))

    def _judge(self, each: Child, *, are_stopping: bool) -> None:
        """Tell an end from a death, and what the next birth of its kind is worth."""
        births = self._suspects_births if each.plan.suspects_only else self._births
        if each.board.has_left:
            # One for suspects that has run nothing: there is none that can start here.
            good = each.board.ended > 0 or not each.plan.suspects_only
        elif are_stopping and each.board.worker is None:
            return  # told to end before it had begun
        else:
            logger.error("Worker process %s died: %s.", each.process.pid, cause_of_end(each.process.returncode))
            # Under a body: that the job is a suspect then, and starts elsewhere, is measure enough.
            good = bool(each.board.running()) or clock.monotonic() - each.started_at > YOUNG_SECONDS
        if good:
            births.were_good()
        else:
            births.were_vain()
