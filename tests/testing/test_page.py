"""The page about testing: its tests are run, as a reader would write them into a project."""

import re

import pytest

from tests.testing.runs import ROOT, run_pytest

PAGE = (ROOT / "docs" / "testing.md").read_text()
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.once
def test_every_test_of_the_page_passes(tmp_path):
    jobs, *tests = [block for block in BLOCK.findall(PAGE) if not block.startswith("DJANGO_JOBS")]
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "__init__.py").touch()
    (tmp_path / "orders" / "jobs.py").write_text(jobs)
    beginning = "from datetime import timedelta\n\nfrom django.db import transaction\n\nfrom orders.jobs import *\n\n"
    result = run_pytest(tmp_path, beginning + "\n\n".join(tests))
    assert f"{PAGE.count('def test_')} passed in" in result.stdout, result.stdout + result.stderr


@pytest.mark.once
def test_the_failure_on_the_page_is_the_one_that_is_shown(tmp_path):
    (shown,) = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    jobs = BLOCK.findall(PAGE)[0]
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "__init__.py").touch()
    (tmp_path / "orders" / "jobs.py").write_text(jobs)
    result = run_pytest(
        tmp_path,
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
