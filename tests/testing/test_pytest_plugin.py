"""The fixtures that pytest loads by itself, in runs of their own, and what they cost where nobody asks for them."""

import subprocess
import sys

import pytest

from tests.testing.runs import ROOT, run_pytest

TESTS = """
import pytest

from django_jobs.testing import assert_enqueued
from tests.testing import samples
from tests.testing.samples import effects


@pytest.mark.django_db
def test_drain(drain_jobs):
    samples.write.enqueue("a")
    samples.awrite.enqueue("b")
    assert len(drain_jobs(raise_errors=True)) == 2
    assert effects() == ["a", "b"]


@pytest.mark.django_db
def test_captured(captured_jobs):
    assert captured_jobs == []
    job = samples.write.enqueue("a")
    assert captured_jobs == [job]


@pytest.mark.django_db
def test_immediate_on_commit(immediate_jobs, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        samples.write.enqueue("a")
    assert effects() == ["a"]


@pytest.mark.django_db(transaction=True)
def test_immediate(immediate_jobs):
    samples.awrite.enqueue("a")
    assert effects() == ["a"]


@pytest.mark.django_db
def test_frozen_clock(frozen_clock, drain_jobs):
    samples.write.using(run_after=60).enqueue("a")
    assert drain_jobs() == []
    frozen_clock.move(60)
    assert len(drain_jobs()) == 1


@pytest.mark.django_db
def test_a_failure():
    samples.write.enqueue("a")
    assert_enqueued(samples.write, "b")
"""


def test_fixtures_do_what_they_say(tmp_path):
    result = run_pytest(tmp_path, TESTS)
    assert "1 failed, 5 passed" in result.stdout, result.stdout + result.stderr
    assert "Not enqueued: testing.write('b')" in result.stdout
    # Not a line of this package, only that of the test.
    assert "assertions.py" not in result.stdout


@pytest.mark.once
def test_fixtures_are_described(tmp_path):
    result = run_pytest(tmp_path, "", "--fixtures")
    for name in ("drain_jobs", "captured_jobs", "immediate_jobs", "frozen_clock"):
        assert f"\n{name} -- " in result.stdout, result.stdout + result.stderr


@pytest.mark.once
def test_who_does_not_use_the_plugin_imports_nothing_else_of_the_package():
    program = "import django_jobs.testing.pytest_plugin, sys; print(*sorted(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = answer.stdout.split()
    assert [each for each in modules if each.partition(".")[0] in ("django", "django_jobs", "redis", "asgiref")] == [
        "django_jobs",
        "django_jobs.testing",
        "django_jobs.testing.pytest_plugin",
    ]
