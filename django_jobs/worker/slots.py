"""What the pools share: where bodies may run, and how the board hears of them."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from django_jobs.definitions.outcomes import Claim, Ended
from django_jobs.worker.board import KINDS, Board

Done = Callable[[Ended], None]
# Whether a claim is still the worker's own, asked just before a body begins.
Holds = Callable[[Claim], bool]
# The claims that one body runs for: one, or the members of a batch.
Together = Sequence[Claim]


def slots_of(board: Board, kind: int) -> list[int]:
    """Return the numbers of all slots of a kind, as a heap: the lowest are used first."""
    return list(range(kind, board.slots, KINDS))


def withdraw(waiting: deque[Together]) -> list[Claim]:
    """Take off a queue all bodies that have not begun, and return their claims."""
    found: list[Claim] = []
    with suppress(IndexError):  # others take from it meanwhile
        while True:
            found += waiting.popleft()
    return found


def begin(board: Board, slot: int, claims: Together) -> None:
    """Say that the body of these claims starts in a slot."""
    first, *others = claims
    board.begin(slot, first.id, first.timeout, [claim.id for claim in others])
