"""Workers here also know the jobs of these tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartWorkers
from tests.processes import Workers
from tests.worker.watching import Gate


@pytest.fixture
def start_workers(start_workers: StartWorkers) -> StartWorkers:
    """Give the `start_workers` of all tests, for workers that know `tests.acceptance.jobs`."""

    def start(
        *arguments: str, options: dict[str, Any] | None = None, environment: dict[str, str] | None = None
    ) -> Workers:
        known = {"DJANGO_JOBS_TEST_IMPORTS": "tests.acceptance.jobs"}
        return start_workers(*arguments, options=options, environment=known | (environment or {}))

    return start


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()
