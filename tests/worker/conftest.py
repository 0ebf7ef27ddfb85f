"""Workers here must also be silent: whatever Python warns of in them fails the test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartWorkers
from tests.processes import Workers
from tests.worker.watching import Gate


@pytest.fixture
def start_workers(start_workers: StartWorkers) -> Iterator[StartWorkers]:
    """Give the `start_workers` of all tests; at the end the workers stop and have warned of nothing."""
    started: list[Workers] = []

    def start(*arguments: str, **kwargs: Any) -> Workers:
        started.append(start_workers(*arguments, **kwargs))
        return started[-1]

    yield start
    for workers in started:
        workers.stop()
        assert "Warning" not in workers.output()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()
