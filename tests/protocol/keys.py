"""The protocol of a deduplication key as a model: two producers, up to two rows, a person who runs one again by hand.

A key is held by at most one row that has not ended. It is acquired by an INSERT that a unique index may refuse, given
back by the statement that ends its row, and asked for again by whoever runs an ended row once more.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.protocol.exploring import Step

ALIVE, ENDED, NONE = "alive", "ended", "none"
ROWS = (0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyGuards:
    """The parts of the protocol; False: it is left out."""

    index_is_unique: bool = True
    ending_gives_back: bool = True
    retry_asks_again: bool = True


class Row(NamedTuple):
    state: str = NONE
    holds: bool = False
    # Stored by a transaction that has not committed.
    open: bool = False


class World(NamedTuple):
    rows: tuple[Row, Row] = (Row(), Row())
    # What each producer has seen: whether anybody holds the key. None: it has not looked.
    seen: tuple[bool | None, bool | None] = (None, None)
    calls: int = 3


class KeyModel:
    """Producer n stores row n, if nobody holds the key; then it may end, and be run again."""

    start = World()

    def __init__(self, guards: KeyGuards | None = None) -> None:
        self.guards = guards or KeyGuards()

    def is_over(self, world: World) -> bool:
        """A key is free again once nobody needs it."""
        return all(row.state != ALIVE and not row.holds for row in world.rows) and not any(
            row.open for row in world.rows
        )

    def invariant(self, world: World) -> str:
        committed = [row for row in world.rows if row.state == ALIVE and not row.open]
        return "two jobs of one key" if len(committed) > 1 else ""

    def steps(self, world: World) -> Iterator[Step[World]]:
        for number in ROWS:
            yield from self._produce(world, number)
            yield from self._end(world, number)
            yield from self._retry(world, number)

    def _produce(self, world: World, number: int) -> Iterator[Step[World]]:
        row, other = world.rows[number], world.rows[1 - number]
        if row.open:
            yield Step(f"{number} commits", True, _with(world, number, row._replace(open=False)))
            yield Step(f"{number} rolls back", True, _with(world, number, Row()))
        elif world.seen[number] is None and row.state == NONE and world.calls:
            visible = other.holds and not other.open
            yield Step(f"{number} looks", False, _seeing(world._replace(calls=world.calls - 1), number, visible))
        elif world.seen[number] is not None:
            done = _seeing(world, number, None)
            # An INSERT waits for the transaction that has stored the key, and then is refused or goes on.
            waits = self.guards.index_is_unique and other.holds and other.open
            refused = other.holds if self.guards.index_is_unique else world.seen[number]
            if refused and not waits:
                yield Step(f"{number} finds the other", True, done)
            elif not waits:
                yield Step(f"{number} inserts", False, _with(done, number, Row(ALIVE, holds=True, open=True)))

    def _end(self, world: World, number: int) -> Iterator[Step[World]]:
        row = world.rows[number]
        if row.state == ALIVE and not row.open:
            holds = not self.guards.ending_gives_back
            yield Step(f"{number} ends", True, _with(world, number, row._replace(state=ENDED, holds=holds)))

    def _retry(self, world: World, number: int) -> Iterator[Step[World]]:
        row, other = world.rows[number], world.rows[1 - number]
        if row.state != ENDED or not world.calls:
            return
        if other.holds and self.guards.retry_asks_again:
            return
        again = row._replace(state=ALIVE, holds=self.guards.retry_asks_again)
        yield Step(f"{number} runs again", False, _with(world._replace(calls=world.calls - 1), number, again))


def _with(world: World, number: int, row: Row) -> World:
    return world._replace(rows=(row, world.rows[1]) if number == 0 else (world.rows[0], row))


def _seeing(world: World, number: int, seen: bool | None) -> World:
    return world._replace(seen=(seen, world.seen[1]) if number == 0 else (world.seen[0], seen))


def without_key_guard(guard: str) -> KeyGuards:
    return replace(KeyGuards(), **{guard: False})
