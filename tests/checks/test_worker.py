"""What a worker says when it starts."""

import os

import pytest

from django_jobs.checks import check_worker
from tests.conftest import StartWorkers
from tests.processes import worker_environment


@pytest.mark.once
def test_a_worker_says_that_debug_is_on(settings, start_workers: StartWorkers, tmp_path):
    settings.DEBUG = True
    (message,) = check_worker()
    (tmp_path / "debugging.py").write_text("from tests.worker_settings import *\nDEBUG = True\n")
    path = os.pathsep.join((str(tmp_path), worker_environment({})["PYTHONPATH"]))
    workers = start_workers("--burst", environment={"DJANGO_SETTINGS_MODULE": "debugging", "PYTHONPATH": path})
    assert workers.wait() == 0
    assert str(message) in workers.output()


def test_a_worker_with_settings_for_production_has_nothing_to_say():
    assert list(check_worker()) == []
