"""manage.py jobs_check: one line a part for people, JSON for machines, an exit status for probes."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from django_jobs.definitions.registry import queue_names
from tests import rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def check():
    """Give `check(*words)`, the exit status and what is printed."""

    def check(*words):
        stdout = StringIO()
        try:
            call_command("jobs_check", *map(str, words), stdout=stdout)
        except CommandError as error:
            return error.returncode, stdout.getvalue()
        return 0, stdout.getvalue()

    return check


@pytest.fixture
def living():
    return rows.worker(names=["samples.note"])


def put_due(seconds):
    return rows.put(run_after=rows.now() - timedelta(seconds=seconds))


def test_status_0_when_all_is_well(living, check):
    status, told = check()
    assert status == 0
    lines = told.splitlines()
    assert {line.split()[0] for line in lines} == {"ok"}
    assert [line[8:22].strip() for line in lines] == [
        *("settings", "transport", "database", "migrations", "workers", "connections", "running"),
        *(f"queue {name}" for name in queue_names()),
        *("suspects", "names"),
    ]


def test_status_1_when_something_is_late_with_what_to_do(living, check):
    put_due(100)
    status, told = check()
    assert status == 1
    (late,) = [line for line in told.splitlines() if line.startswith("late")]
    assert late.startswith("late    queue default   1 due, for up to 1 min ")
    assert late.endswith("manage.py jobs list --state running --queue default")


def test_what_is_late_can_be_said(living, check):
    put_due(100)
    assert check("--late", 500)[0] == 0
    assert check("--late", 0)[0] == 1


def test_status_1_when_a_part_has_failed(check):
    status, told = check()
    assert status == 1
    assert "failed  workers         none is alive. Start one: manage.py runworkers\n" in told


def test_status_2_when_nothing_can_be_said(living, check, settings):
    settings.DJANGO_JOBS = {"TRANSPROT": "database:"}
    status, told = check()
    assert status == 2
    assert told.startswith("failed  settings ")
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("late", ["-1", "nan"])
def test_a_limit_that_is_none_is_refused(check, late):
    assert check(f"--late={late}")[0] == 2


def test_machines_are_told_the_worst_and_the_numbers(living, check):
    put_due(100)
    status, told = check("--json")
    told = json.loads(told)
    assert (status, told["status"]) == (1, "late")
    parts = {each["part"]: each for each in told["parts"]}
    assert parts["workers"]["facts"]["alive"] == 1
    assert parts["queue default"]["status"] == "late"
    assert parts["queue default"]["facts"]["due"] == 1


def test_a_probe_gets_the_status_and_no_traceback(tmp_path):
    """As a shell sees it: a database without tables, and settings that cannot be read."""
    database = {"DJANGO_JOBS_TEST_DATABASE": f"sqlite://{tmp_path}/empty.sqlite3"}
    unmigrated = shell(database | {"DJANGO_JOBS_TEST_OPTIONS": '{"TRANSPORT": "database:"}'})
    assert unmigrated.returncode == 2
    assert "failed  migrations      not applied: 0001_initial" in unmigrated.stdout
    assert unmigrated.stderr == "CommandError: Not all is well: migrations.\n"
    misspelt = shell(database | {"DJANGO_JOBS_TEST_OPTIONS": '{"TRANSPROT": "database:"}'})
    assert misspelt.returncode == 2
    assert misspelt.stdout.startswith("failed  settings ")


def shell(environment):
    line = [sys.executable, "-m", "django", "jobs_check", "--settings", "tests.settings"]
    return subprocess.run(line, env=os.environ | environment, capture_output=True, text=True)
