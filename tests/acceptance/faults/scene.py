"""What a fault is given to act on, and the list of all faults."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from django_jobs.models import Job
from tests.acceptance.faults.load import Load
from tests.acceptance.faults.stage import Stage
from tests.acceptance.fleet import LIMITS, Fleet
from tests.waiting import wait_until

LIMIT = LIMITS["DEAD_AFTER_SECONDS"]


@dataclass(slots=True)
class Scene:
    """One trial of one fault: where it takes place, with which load, and the chance that decides the details."""

    stage: Stage
    load: Load
    chance: random.Random
    # How often the fault happened in this trial.
    times: int = 1

    @property
    def fleet(self) -> Fleet:
        return self.stage.fleet

    def go_on(self, seconds: float, *, enqueue: bool = True) -> None:
        """Let so much time pass; jobs come in meanwhile, as they do."""
        deadline = monotonic() + seconds
        if enqueue:
            self.load.enqueue_steadily(lambda: monotonic() > deadline)
        else:
            wait_until(lambda: monotonic() > deadline)

    def until_running(self) -> None:
        """Wait until something runs, or nothing is left that could."""
        with suppress(AssertionError):
            wait_until(lambda: Job.objects.running().exists() or not self.load.count_left(), 5)

    def until_some_ended(self, count: int = 5) -> None:
        """Wait until so many more have ended, or none is left."""
        wanted = self.load.count_ended() + count
        with suppress(AssertionError):
            wait_until(lambda: self.load.count_ended() >= wanted or not self.load.count_left(), 5)


Act = Callable[[Scene], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """A named fault. `act` lets it happen and returns when it is over; what it says is the docstring."""

    name: str
    act: Act
    kinds: tuple[str, ...]

    @property
    def story(self) -> str:
        return (self.act.__doc__ or "").strip().partition("\n")[0]


FAULTS: dict[str, Fault] = {}


def fault(*kinds: str) -> Callable[[Act], Act]:
    """Add a fault to the list, under the name of the function; `kinds`: the databases that it is about, else all."""

    def add(act: Act) -> Act:
        name = act.__name__.replace("_", "-")
        FAULTS[name] = Fault(name, act, kinds or ("postgresql", "mariadb"))
        return act

    return add
