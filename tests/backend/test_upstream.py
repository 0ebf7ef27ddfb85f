"""What Django's own tests ask of a backend holds for ours, and for its twins for tests."""

import os
import subprocess
import sys
import unittest
from io import StringIO

import pytest

from tests.backend import upstream
from tests.bells import transport

__all__ = ["transport"]

pytestmark = pytest.mark.django_db(transaction=True)

# What test_results.py asks of rows instead.
REPLACED = {
    # They change results in the memory of Django's dummy backend.
    "DummyBackendTestCase.test_refresh_result",
    "DummyBackendTestCase.test_refresh_result_async",
    # They read that memory inside of a coroutine, where the ORM refuses to ask the database.
    "TaskTestCase.test_enqueue_task_async",
    "DummyBackendTestCase.test_enqueue_task_async",
    # It calls the synchronous refresh() inside of a coroutine, where the same holds.
    "TaskTestCase.test_refresh_result",
}
if sys.version_info < (3, 12):
    # It quotes an error of Python that read otherwise before; Django 6 needs 3.12.
    REPLACED.add("CustomBackendTestCase.test_no_enqueue")


@pytest.fixture(scope="session")
def archive():
    try:
        return upstream.archive()
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"Django's source distribution cannot be fetched: {error} {error.stderr!r}")


@pytest.fixture
def run(archive, tmp_path, monkeypatch):
    """Give `run(changes, *modules, leave_out=())`, which runs these modules and returns how many tests passed."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(changes, *modules, leave_out=()):
        upstream.copy(archive, tmp_path, changes)
        suite = unittest.TestSuite()
        for module in modules:
            for test in flat(unittest.defaultTestLoader.loadTestsFromName(f"tasks.{module}")):
                if test.id().split(".", 2)[2] not in leave_out:
                    suite.addTest(test)
        output = StringIO()
        result = unittest.TextTestRunner(output).run(suite)
        assert result.wasSuccessful(), output.getvalue()
        return result.testsRun

    yield run
    for name in [each for each in sys.modules if each.partition(".")[0] == "tasks"]:
        del sys.modules[name]


def flat(suite):
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from flat(each)
        else:
            yield each


def test_jobs_keep_what_django_promises_of_tasks(run):
    assert run(upstream.JOBS, "test_tasks", "test_dummy_backend", leave_out=REPLACED) > 45


def test_the_twins_for_tests_are_what_django_has(run):
    assert run(upstream.TWINS, "test_tasks", "test_dummy_backend", "test_immediate_backend") > 65


def test_backends_of_others_work_beside_ours(run):
    assert run({}, "test_custom_backend", leave_out=REPLACED) > 3
