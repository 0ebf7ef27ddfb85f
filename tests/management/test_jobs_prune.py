"""manage.py jobs_prune: what is not to be kept goes, and is counted first."""

import pytest

from django_jobs.models import Job
from django_jobs.states import State
from tests.rows import HOUR, now, put

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def jobs():
    for until in (-HOUR, -HOUR, HOUR):
        put(State.SUCCESSFUL, keep_until=now() + until)


def test_what_is_not_to_be_kept_is_dropped(run):
    assert run("jobs_prune") == "2 jobs were pruned.\n"
    assert Job.objects.count() == 1


def test_a_dry_run_counts_and_drops_nothing(run):
    assert run("jobs_prune", "--dry-run") == "2 jobs are not to be kept any longer.\n"
    assert Job.objects.count() == 3


def test_machines_are_told_both_numbers(run_json):
    assert run_json("jobs_prune", "--dry-run") == {"prunable": 2, "pruned": 0}
    assert run_json("jobs_prune") == {"prunable": 2, "pruned": 2}
