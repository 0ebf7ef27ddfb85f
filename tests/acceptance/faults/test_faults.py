"""The short set: each fault once, on private servers of this run's kind of database, the invariants checked after each.

    DJANGO_JOBS_FAULTS=1 pytest --numprocesses=4 tests/acceptance/faults/test_faults.py

The seed is the one that stands at the head of the run; `--randomly-seed` gives it again. The long run is a command:
python -m tests.acceptance.faults --trials 1000
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from tests.acceptance.faults.scene import Fault
from tests.acceptance.faults.trial import Trials, chosen

pytestmark = [
    pytest.mark.skipif(
        connection.vendor == "sqlite", reason="This run is on SQLite: faults are shown on PostgreSQL and MariaDB."
    ),
    pytest.mark.skipif("DJANGO_JOBS_FAULTS" not in os.environ, reason="Nobody asked for it by DJANGO_JOBS_FAULTS=1."),
]

KIND = {"mysql": "mariadb"}.get(connection.vendor, connection.vendor)


@pytest.fixture(scope="module")
def trials(django_db_blocker: Any) -> Iterator[Trials]:
    """Give servers and workers that all faults of this process share."""
    with django_db_blocker.unblock(), Trials(KIND) as trials:
        yield trials


@pytest.mark.parametrize("fault", chosen([], KIND), ids=lambda fault: fault.name)
def test_nothing_is_lost_doubled_or_left_behind(fault: Fault, trials: Trials, pytestconfig: pytest.Config):
    seed = pytestconfig.getoption("randomly_seed")
    print(f"To have it again: python -m tests.acceptance.faults --database {KIND} --fault {fault.name} --seed {seed}")
    report = trials.run(fault, seed)
    print(report.said)
    assert not report.violations, "\n".join(report.violations)
