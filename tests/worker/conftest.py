"""Workers here must also be silent: whatever Python warns of in them fails the test."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from django_jobs.transports import Transport, get_transport
from django_jobs.worker.board import Board, make_board_file
from tests.conftest import StartWorkers
from tests.processes import Workers
from tests.worker.clocks import moved_clock
from tests.worker.watching import Gate

__all__ = ["moved_clock"]

CONCURRENCY = 4


@pytest.fixture
def start_workers(start_workers: StartWorkers) -> Iterator[StartWorkers]:
    """Give the `start_workers` of all tests; at the end the workers stop and have warned of nothing."""
    started: list[Workers] = []

    def start(*arguments: str, **kwargs: Any) -> Workers:
        started.append(start_workers(*arguments, **kwargs))
        return started[-1]

    yield start
    for workers in started:
        status = workers.stop()
        assert status in (0, 1), f"The workers ended with {status}."
        assert "Warning" not in workers.output()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


@pytest.fixture
def board() -> Iterator[Board]:
    descriptor = make_board_file(3 * CONCURRENCY)
    board = Board(descriptor)
    os.close(descriptor)
    yield board
    board.close()


@pytest.fixture
def transport(settings: Any) -> Iterator[Transport]:
    """The transport of the run, with keys of its own; it has lost its memory, as a new one has."""
    prefix = f"test_{uuid4().hex}"
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "PREFIX": prefix}
    transport: Any = get_transport()
    yield transport
    transport._server.ask(lambda client: [client.delete(key) for key in client.scan_iter(f"{{{prefix}:*")])
