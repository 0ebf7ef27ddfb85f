"""Each fault once, on private servers of this run's kind of database, with the invariants checked after each.

    DJANGO_JOBS_FAULTS          anything: run them; they take minutes, and a machine that has nothing else to do
    DJANGO_JOBS_FAULTS_SEED     the seed of an earlier run, which a failed test prints

The long run is a command: python -m tests.acceptance.faults --trials 1000
"""

import os
import random
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
SEED = int(os.environ.get("DJANGO_JOBS_FAULTS_SEED", random.randrange(1_000_000)))


@pytest.fixture(scope="module")
def trials(django_db_blocker: Any) -> Iterator[Trials]:
    """Give servers and workers that all faults of this process share."""
    with django_db_blocker.unblock(), Trials(KIND) as trials:
        yield trials


@pytest.mark.parametrize("fault", chosen([], KIND), ids=lambda fault: fault.name)
def test_nothing_is_lost_doubled_or_left_behind(fault: Fault, trials: Trials):
    print(f"To have it again: python -m tests.acceptance.faults --database {KIND} --fault {fault.name} --seed {SEED}")
    report = trials.run(fault, SEED)
    print(report.said)
    assert not report.violations, "\n".join(report.violations)
