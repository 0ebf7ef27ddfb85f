"""Runs one peer's adapter in the peer's own environment: a line of JSON asks for a verb, a line of JSON answers.

python -m tests.benchmarks.client tests.benchmarks.peers.celery
"""

import asyncio
import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any

from tests.benchmarks.ledger import moment, record

IO_SECONDS = 0.01


def empty(number: int) -> None:
    """Be a job that does nothing."""
    record(number)


def io(number: int) -> None:
    """Be a job that waits for somebody else, as most jobs do."""
    time.sleep(IO_SECONDS)
    record(number)


async def aio(number: int) -> None:
    """Be such a job as a coroutine."""
    await asyncio.sleep(IO_SECONDS)
    record(number)


class Peer(ABC):
    """One system to measure. `body` is one of "empty", "io" and "aio"."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the tables, once."""

    @abstractmethod
    def clear(self) -> None:
        """Forget all jobs."""

    @abstractmethod
    def enqueue(self, body: str, number: int) -> None:
        """Enqueue one job, for good when this returns."""

    def enqueue_many(self, body: str, numbers: Sequence[int]) -> None:
        """Enqueue jobs by the system's own call for many; without one, one by one."""
        for number in numbers:
            self.enqueue(body, number)

    def enqueue_in_transaction(self, body: str, numbers: Sequence[int]) -> None:
        """Enqueue jobs one by one inside one transaction of the caller."""
        raise NotImplementedError(f"{type(self).__name__} has no transactions.")

    @abstractmethod
    def worker(self, processes: int, concurrency: int) -> list[list[str]]:
        """Return the commands that start the worker: one, or one for each process."""

    def finished(self) -> int | None:
        """Return how many jobs have ended well by the system's own records; None where it keeps none."""
        return None

    def fill_finished(self, count: int) -> None:
        """Put so many finished jobs into the table."""
        raise NotImplementedError(f"{type(self).__name__} has no way to do it.")

    def let_expire(self) -> None:
        """Let all finished jobs be no longer kept, from now on."""
        raise NotImplementedError(f"{type(self).__name__} has no way to do it.")


def serve(peer: Peer) -> None:
    # What the peer's libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = {"answer": _answer(peer, **question)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


def _answer(peer: Peer, verb: str, **given: Any) -> Any:
    match verb:
        case "enqueue":
            return _timed(peer.enqueue, given["body"], _numbers(given))
        case "enqueue_many":
            return _timed(peer.enqueue_many, given["body"], _chunks(given))
        case "enqueue_in_transaction":
            return _timed(peer.enqueue_in_transaction, given["body"], _chunks(given))
        case "enqueue_at_pace":
            return _at_pace(peer, given)
        case _:
            return getattr(peer, verb)(**given)


def _numbers(given: dict[str, Any]) -> range:
    return range(given["first"], given["first"] + given["count"])


def _chunks(given: dict[str, Any]) -> list[range]:
    numbers = _numbers(given)
    return [numbers[start : start + given["chunk"]] for start in range(0, len(numbers), given["chunk"])]


def _timed(act: Callable[[str, Any], None], body: str, items: Iterable[Any]) -> float:
    start = time.perf_counter()
    for item in items:
        act(body, item)
    return time.perf_counter() - start


def _at_pace(peer: Peer, given: dict[str, Any]) -> list[int]:
    """Enqueue one job every so many seconds; return when each call began."""
    moments = []
    begin = time.monotonic()
    for place, number in enumerate(_numbers(given)):
        time.sleep(max(begin + place * given["seconds"] - time.monotonic(), 0))
        moments.append(moment())
        peer.enqueue(given["body"], number)
    return moments


if __name__ == "__main__":
    serve(import_module(sys.argv[1]).PEER())
