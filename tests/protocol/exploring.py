"""Look at every state that a model can reach: does anything happen that must not, and does it come to an end?"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

World = TypeVar("World")


@dataclass(frozen=True, slots=True)
class Step(Generic[World]):
    """`helps`: it is one of those that still happen when all faults are over. `violation`: it must not be possible."""

    name: str
    helps: bool
    world: World
    violation: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What exploring came to: nothing is broken, or what is, and the steps that lead there."""

    states: int
    violation: str = ""
    trace: tuple[str, ...] = ()


class Explorable(Protocol[World]):
    @property
    def start(self) -> World: ...

    def steps(self, world: World) -> Iterator[Step[World]]:
        """Yield all that can happen next."""

    def invariant(self, world: World) -> str:
        """Return what is broken in this state, or nothing."""

    def is_over(self, world: World) -> bool:
        """Tell whether all is done that was to be done."""


def explore(model: Explorable[Any]) -> Finding:
    """Look at the nearest states first, and stop at the first that must not be.

    In the end every state must have a way to one that is over, by steps that help.
    """
    came: dict[Any, tuple[Any, str] | None] = {model.start: None}
    helped: dict[Any, list[Any]] = {}
    queue = deque([model.start])
    while queue:
        world = queue.popleft()
        for step in model.steps(world):
            violation = step.violation
            if step.helps:
                helped.setdefault(step.world, []).append(world)
            if step.world not in came:
                came[step.world] = (world, step.name)
                queue.append(step.world)
                violation = violation or model.invariant(step.world)
            if violation:
                return Finding(len(came), violation, (*_trace(came, world), step.name))
    stuck = _stuck({world for world in came if model.is_over(world)}, came, helped)
    if stuck is not None:
        return Finding(len(came), "it never ends", _trace(came, stuck))
    return Finding(len(came))


def _stuck(fine: set[Any], came: dict[Any, tuple[Any, str] | None], helped: dict[Any, list[Any]]) -> Any:
    """Return a state without a way to an end, the first that was found, or None."""
    queue = deque(fine)
    while queue:
        for world in helped.get(queue.popleft(), ()):
            if world not in fine:
                fine.add(world)
                queue.append(world)
    return next((world for world in came if world not in fine), None)


def _trace(came: dict[Any, tuple[Any, str] | None], world: Any) -> tuple[str, ...]:
    names: list[str] = []
    while (origin := came[world]) is not None:
        world, name = origin
        names.append(name)
    return tuple(reversed(names))
