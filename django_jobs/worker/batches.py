"""Batches in the making: claims wait here, not begun, until enough are there or the first has waited long enough."""

import threading
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from django_jobs import clock
from django_jobs.definitions.batches import Batch, likeness
from django_jobs.definitions.outcomes import Claim, Failed
from django_jobs.definitions.registry import get_spec
from django_jobs.execution.execute import must_not_begin, report_of
from django_jobs.worker.desk import Desk

# More do not wait in a process: then those who have waited longest begin with whom they have.
MOST_WAITING = 5000
_ALONE = Batch(size=1)


class Kind(NamedTuple):
    """What the members of a batch share: whatever surrounds and limits their one body is the same for all of them."""

    name: str
    queue_name: str
    timeout: float | None
    headers: str
    likeness: str

    @classmethod
    def of(cls, claim: Claim) -> "Kind":
        """Return the kind of a claim. Raises InvalidArguments, or what the code of the user raises."""
        alike = likeness(_batch_of(claim), claim.name, claim.arguments)
        return cls(claim.name, claim.queue_name, claim.timeout, claim.headers, alike)


def by_kind(claims: Iterable[Claim]) -> tuple[dict[Kind, list[Claim]], list[tuple[Claim, Failed]]]:
    """Return the claims that may share a body, and those whose kind cannot be told, with how they end."""
    kinds: dict[Kind, list[Claim]] = {}
    refused: list[tuple[Claim, Failed]] = []
    for claim in claims:
        try:
            kinds.setdefault(Kind.of(claim), []).append(claim)
        except BaseException as error:  # code of the user, which must not end the recorder
            refused.append((claim, Failed(report_of(error))))
    return kinds, refused


class Gathering:
    """One batch in the making."""

    __slots__ = ("batch", "claims", "due")

    def __init__(self, batch: Batch) -> None:
        self.batch, self.claims = batch, list[Claim]()
        self.due = clock.monotonic() + batch.wait_seconds


class Batches:
    """Gathers what the recorder claims. Members ride along: the place of a body is taken by a batch that is complete.

    `alone`: each begins by itself and at once.
    """

    def __init__(self, desk: Desk, *, alone: bool = False) -> None:
        self._desk, self._alone = desk, alone
        self._lock = threading.Lock()
        self._open: dict[Kind, Gathering] = {}
        self._complete: deque[list[Claim]] = deque()
        self._waiting = 0
        # Names of which a batch was complete and found no place: the next one has its place from the start.
        self._disappointed: set[str] = set()

    def put(self, claims: Iterable[Claim]) -> list[tuple[Claim, Failed]]:
        """Have claims wait for others of their kind; return those whose kind cannot be told, and how they end."""
        kinds, refused = by_kind(claims)
        with self._lock:
            for kind, alike in kinds.items():
                for claim in alike:
                    self._add(claim, kind)
                gathering = self._open.get(kind)
                if gathering is not None and len(gathering.claims) >= gathering.batch.enough:
                    self._close(kind)
            while self._waiting > MOST_WAITING and self._open:
                self._close(next(iter(self._open)))
        return refused

    def next_complete(self) -> list[Claim] | None:
        """Return the members of a batch that is to begin now. They wait here no longer."""
        with self._lock:
            present = clock.monotonic()
            for kind in [kind for kind, each in self._open.items() if each.due <= present]:
                self._close(kind)
            if not self._complete:
                return None
            claims = self._complete.popleft()
            self._waiting -= len(claims)
            return claims

    def put_back(self, claims: list[Claim]) -> None:
        """Keep a batch that could not begin yet."""
        with self._lock:
            self._complete.appendleft(claims)
            self._waiting += len(claims)

    @property
    def is_empty(self) -> bool:
        return self._waiting == 0

    def missing(self) -> int:
        """Return how many more would fill what is in the making."""
        with self._lock:
            return sum(each.batch.size - len(each.claims) for each in self._open.values())

    def rest(self) -> float:
        """Return the seconds until a batch is to begin."""
        with self._lock:
            if self._complete:
                return 0.0
            due = min((each.due for each in self._open.values()), default=float("inf"))
            return max(due - clock.monotonic(), 0.0)

    def withdraw(self) -> list[Claim]:
        """Return all that wait here; they will not begin here."""
        with self._lock:
            found = [claim for claims in self._complete for claim in claims]
            found += [claim for each in self._open.values() for claim in each.claims]
            self._open.clear()
            self._complete.clear()
            self._waiting = 0
            return found

    def withdraw_unwanted(self) -> list[Claim]:
        """Return those that must not begin any more: somebody cancelled them, or they have expired."""
        unwanted: list[Claim] = []
        with self._lock:
            for kind, each in list(self._open.items()):
                unwanted += [claim for claim in each.claims if must_not_begin(claim)]
                each.claims = [claim for claim in each.claims if not must_not_begin(claim)]
                if not each.claims:
                    del self._open[kind]
            self._waiting -= len(unwanted)
        return unwanted

    def disappoint(self, claims: Iterable[Claim]) -> None:
        """Learn which were handed back because their complete batch found no place."""
        self._disappointed |= {claim.name for claim in claims}

    def _add(self, claim: Claim, kind: Kind) -> None:
        gathering = self._open.get(kind)
        if gathering is None:
            gathering = self._open[kind] = Gathering(_ALONE if self._alone else _batch_of(claim))
        if gathering.claims or claim.name not in self._disappointed:
            self._desk.let_ride(claim)
        gathering.claims.append(claim)
        self._waiting += 1
        if len(gathering.claims) >= gathering.batch.size:
            self._close(kind)

    def _close(self, kind: Kind) -> None:
        self._complete.append(self._open.pop(kind).claims)
        self._disappointed.discard(kind.name)


def _batch_of(claim: Claim) -> Batch:
    batch = get_spec(claim.name).batch
    assert batch is not None, f"{claim.name} runs in no batches."
    return batch
