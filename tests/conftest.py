"""Fixtures for everyone: waiting, and real workers that end with the test."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest
from django.conf import settings

import django_jobs
from django_jobs.definitions import registry
from tests.processes import Workers
from tests.waiting import wait_until as _wait_until


class StartWorkers(Protocol):
    def __call__(
        self, *arguments: str, options: dict[str, Any] | None = None, environment: dict[str, str] | None = None
    ) -> Workers: ...


def pytest_configure() -> None:
    """Hear SIGINT, and let the processes of tests hear it, even where the run was started in the background.

    And SIGHUP, which `nohup` has them ignore, as workers do then.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that differ from process to process: pytest-xdist could not tell that the tests are the same."""
    if changing := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"These tests are named by an address in memory; give them other ids: {changing}")


def pytest_report_header() -> list[str]:
    """Say what is tested: the summary of a run is only worth as much as this."""
    return [
        f"django_jobs: {django_jobs.__version__} from {Path(django_jobs.__file__).parent}",
        f"databases: {', '.join(each['ENGINE'].rpartition('.')[2] for each in settings.DATABASES.values())}; "
        f"transport: {settings.DJANGO_JOBS['TRANSPORT'].partition(':')[0]}",
    ]


@pytest.fixture(autouse=True)
def forget_new_jobs() -> Iterator[None]:
    """Forget the jobs that a test declares in its own body, and with them their queues."""
    known = dict(registry._specs)
    yield
    registry._replaced.clear()
    registry._specs.clear()
    registry._specs.update(known)


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    """Give `wait_until(condition, seconds=180, what="")`, for what another process does."""
    return _wait_until


@pytest.fixture
def start_workers(tmp_path: Path, transactional_db: None) -> Iterator[StartWorkers]:
    """Give `start_workers(*arguments, options=None, environment=None)`, real workers that see what is committed.

    They see the test's DJANGO_JOBS with `options` over it, and its environment with `environment` over it. They must
    end when they are asked to, and their output is shown when the test fails.
    """
    with ExitStack() as ends:

        def start(
            *arguments: str, options: dict[str, Any] | None = None, environment: dict[str, str] | None = None
        ) -> Workers:
            log = tmp_path / f"workers-{uuid4().hex}.log"
            workers = Workers(arguments, options or {}, log, environment or {})
            ends.callback(lambda: print(workers.output()))
            ends.callback(workers.stop)
            return workers

        yield start
