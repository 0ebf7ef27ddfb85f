"""What jobs cost the servers, counted by the servers themselves. Counts do not wander with the machine as rates do.

PostgreSQL and Redis of this test's own: what others do on the run's servers must not be counted here.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

import django_jobs
from tests.benchmarks.environments import Environment
from tests.benchmarks.ledger import Ledger
from tests.benchmarks.remote import ROOT, Remote
from tests.benchmarks.running import Runner
from tests.benchmarks.stores import Counts, Stores
from tests.benchmarks.systems import OURS, SYSTEMS
from tests.benchmarks.workloads import COST, ENQUEUE_COST, Workload

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql" or not settings.DJANGO_JOBS["TRANSPORT"].startswith("redis:"),
    reason="Costs are held on PostgreSQL and Redis.",
)

# The worker's row, its beats and the chores are written now and then, and a client's first words open its sessions:
# they belong to no job, and spread over all of them they are no more than this.
NOBODYS = 0.02

COUNTED = ("SQL statements", "commits", "Redis commands")


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Give what the benchmarks measure with, on this very environment and the package that this run imports."""
    folder = tmp_path_factory.mktemp("costs")
    system = SYSTEMS[OURS]
    with Stores([system], folder).running() as stores:
        ledger, log = Ledger(folder / "ledger"), folder / "log"
        remote = Remote(system, Environment(Path(sys.executable), folder, {}), stores, ledger, log)
        remote.environment["PYTHONPATH"] = os.pathsep.join((str(Path(django_jobs.__file__).parents[1]), str(ROOT)))
        runner = Runner(system, remote, stores, ledger, log)
        runner.prepare()
        yield runner
        remote.close()


# Bodies of a worker that starves look slow, and less is claimed at once: a bad moment of the machine costs more.
MOMENTS = 3


def costs(runner: Runner, workload: Workload, repeat: int = 0) -> Counts:
    """Return how often each thing was counted, for one job."""
    measurement = runner.measure(workload, repeat)
    assert not measurement.error
    return measurement.details


@pytest.fixture(scope="module")
def drained(runner: Runner) -> Counts:
    """Give the costs of one of 10,000 empty jobs, each of which ran once and is recorded, in the best moment."""
    return min((costs(runner, COST, moment) for moment in range(MOMENTS)), key=lambda counts: counts["commits"])


@pytest.fixture(scope="module")
def enqueued(runner: Runner) -> Counts:
    """Give the costs of one enqueued job: one by one, and in calls of 1,000."""
    return costs(runner, ENQUEUE_COST)


def test_many_jobs_share_a_transaction_and_a_wait_for_the_disk(drained: Counts):
    assert drained["commits"] <= 0.04
    assert drained["WAL syncs"] <= 0.04


def test_a_job_is_written_three_times_in_its_life(drained: Counts, enqueued: Counts):
    assert enqueued["bulk: row writes"] + drained["row writes"] <= 3 + NOBODYS
    assert drained["WAL bytes"] <= 1_200


def test_many_jobs_share_a_statement_and_a_round_trip_to_redis(drained: Counts):
    assert drained["SQL statements"] + drained["Redis commands"] <= 0.1
    assert drained["Redis reads"] <= 0.05


def test_one_enqueue_is_one_statement_with_its_own_commit_and_one_round_trip_to_redis(enqueued: Counts):
    assert enqueued["one: SQL statements"] <= 1 + NOBODYS
    assert enqueued["one: commits"] <= 1 + NOBODYS
    assert enqueued["one: row writes"] == 1
    assert enqueued["one: Redis reads"] <= 1 + NOBODYS


def test_a_bulk_enqueue_of_a_thousand_is_two_inserts_in_one_transaction_and_one_bell(enqueued: Counts):
    a_call = {name: round(1_000 * enqueued[f"bulk: {name}"]) for name in COUNTED}
    # BEGIN and COMMIT are statements too, and each half is one. A bell is one script, which adds the ids and looks for
    # a marker: it is there since the first call, for nobody takes.
    assert a_call == {"SQL statements": 4, "commits": 1, "Redis commands": 3}
