"""Threads that start together, each with database connections of its own, and what came of them."""

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, BrokenBarrierError, Event
from typing import Any, TypeVar

from django.db import connections, transaction

Result = TypeVar("Result")

DEADLINE_SECONDS = 60.0


def together(
    count: int, act: Callable[[int, Barrier], Result], options: dict[str, dict[str, Any]] | None = None
) -> list[Result]:
    """Run `act(number, barrier)` in `count` threads; return the answers in order, or raise the first real error.

    `options`: alias -> database OPTIONS of their connections, laid over those of the settings.
    """
    barrier = Barrier(count, timeout=DEADLINE_SECONDS)

    def run(number: int) -> Result:
        with own_connections(options or {}):
            try:
                barrier.wait()
                return act(number, barrier)
            except BaseException:
                barrier.abort()  # or the others would wait for ever
                raise

    with no_garbage_collection(), ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(run, number) for number in range(count)]
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda each: isinstance(each, BrokenBarrierError)):
        raise error
    return [future.result() for future in futures]


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect nothing inside the block.

    On SQLite a thread that collects clears the cursors of others, and waits for the connections that these hold; one
    that itself has the database's lock would wait for those that wait for it.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def own_connections(options: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Give the connections of this thread other OPTIONS, and close them all at the end."""
    for alias, others in options.items():
        settings = connections[alias].settings_dict
        connections[alias].settings_dict = {**settings, "OPTIONS": {**settings["OPTIONS"], **others}}
    try:
        yield
    finally:
        connections.close_all()


@contextmanager
def elsewhere(act: Callable[[], object]) -> Iterator[None]:
    """Run `act` in a transaction of another connection, and commit it only after the block."""
    acted, may_commit = Event(), Event()

    def run() -> None:
        with own_connections({}):
            try:
                with transaction.atomic():
                    act()
                    acted.set()
                    may_commit.wait(DEADLINE_SECONDS)
            finally:
                acted.set()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        try:
            acted.wait(DEADLINE_SECONDS)
            yield
        finally:
            may_commit.set()
            future.result()
