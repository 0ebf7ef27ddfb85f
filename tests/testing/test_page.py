"""The page about testing: its tests are run, as a reader would write them into a project."""

import re

import pytest

from tests.testing.runs import ROOT, run_pytest

PAGE = (ROOT / "docs" / "testing.md").read_text()
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
JOBS, *TESTS = BLOCK.findall(PAGE)


@pytest.fixture
def project(tmp_path):
    """Give a folder with the jobs of the page in an app of theirs."""
    app = tmp_path / "orders"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "jobs.py").write_text(JOBS)
    return tmp_path


@pytest.mark.once
def test_every_test_of_the_page_passes(project):
    tests = [block for block in TESTS if not block.startswith("DJANGO_JOBS")]
    result = run_pytest(project, "\n\n".join(["from orders.jobs import *", *tests]))
    assert f"{PAGE.count('def test_')} passed in" in result.stdout, result.stdout + result.stderr


@pytest.mark.once
def test_the_failure_on_the_page_is_the_one_that_is_shown(project):
    (shown,) = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    result = run_pytest(
        project,
        """
from datetime import UTC, datetime

import pytest
from django_jobs.testing import FrozenClock, assert_enqueued
from orders.jobs import *


@pytest.mark.django_db
def test_shown():
    with FrozenClock(datetime(2031, 5, 17, 12, 30, tzinfo=UTC)):
        place_order(42)
    assert_enqueued(send_receipt.using(queue_name="mail"), 43)
""",
    )
    told = "\n".join(line.removeprefix("E   ").strip() for line in result.stdout.splitlines() if line[:4] == "E   ")
    assert "\n".join(line.strip() for line in shown.splitlines()) == told, result.stdout
