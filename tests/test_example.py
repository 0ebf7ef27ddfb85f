"""The example's jobs on real input: the code of a few distributions that are installed here."""

import warnings
from contextlib import suppress

import pytest

from catalogue.discovery import Installed, digest_of, installed
from catalogue.expectation import differences
from catalogue.jobs import forget_all_but, measure_file, record, scan, summarise_distribution, summarise_when_complete
from catalogue.models import Distribution, SourceFile
from django_jobs import CancelJob, Job, retry
from django_jobs.models import Attempt

SMALL = ["aenum", "fissix"]  # together with six files that do not parse
LARGE = [*SMALL, "asgiref", "Django", "redis"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run_workers(start_workers):
    """Run what is due, with real workers, until nothing is left."""

    def run():
        workers = start_workers("--burst", "--processes", "2")
        assert workers.wait(120) == 0
        assert not Job.objects.alive().exists()

    return run


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("import os\n")
    return path


def differences_from_a_plain_loop(names):
    with warnings.catch_warnings():
        # Other people's code; the example's workers ignore the same.
        warnings.simplefilter("ignore")
        return [each for found in installed(names) for each in differences(found)]


def scan_again(path):
    """Scan a distribution that has only this file; return how many jobs are new, and what it is known as now."""
    found = Installed("own", "1.0", (path,))
    new = record(found)
    distribution = Distribution.objects.get(name="own")
    summarise_when_complete(distribution)
    return new, distribution


def run_here(distribution):
    """Do by plain calls what the jobs of a distribution would do."""
    for file in distribution.files.filter(measured_at=None):
        measure_file(file.path, file.digest)
    for job in Job.objects.filter(name=summarise_distribution.name):
        with suppress(CancelJob):  # of an edition that is gone
            summarise_distribution(*job.args)
    distribution.refresh_from_db()


def test_every_file_is_measured_and_only_those_fail_that_do_not_parse(run_workers):
    scan.enqueue(LARGE)
    run_workers()
    assert differences_from_a_plain_loop(LARGE) == []
    assert Job.objects.failed().filter(error__startswith="SyntaxError: ").count() == 6
    assert Distribution.objects.get(name="Django").lines > 100_000


@pytest.mark.once
def test_scanning_twice_enqueues_nothing_twice(run_workers):
    first = scan(SMALL)
    run_workers()
    before = set(Job.objects.values_list("pk", flat=True))
    second = scan(SMALL)
    assert first["files"] == first["new"] == second["files"] > 100
    assert second["new"] == 0
    assert set(Job.objects.values_list("pk", flat=True)) == before


@pytest.mark.once
def test_failed_files_can_be_retried_and_every_attempt_is_kept(run_workers):
    scan(SMALL)
    run_workers()
    failed = Job.objects.failed()
    assert retry(failed) == 6
    run_workers()
    assert [job.attempts.count() for job in failed] == [2] * 6
    assert not Attempt.objects.exclude(traceback__contains="SyntaxError").exists()


def test_changed_content_is_a_new_job_and_former_content_is_remembered(module):
    new, distribution = scan_again(module)
    run_here(distribution)
    assert (new, distribution.lines) == (1, 1)

    module.write_text("import os\nimport sys\n")
    new, distribution = scan_again(module)
    assert not distribution.is_summarised
    run_here(distribution)
    assert (new, distribution.lines) == (1, 2)

    module.write_text("import os\n")
    new, distribution = scan_again(module)
    run_here(distribution)
    assert (new, distribution.lines, distribution.is_summarised) == (0, 1, True)


def test_a_file_that_changed_after_the_scan_is_left_to_the_next_scan(module):
    _, distribution = scan_again(module)
    file = distribution.files.get()
    module.write_text("import sys\n")
    with pytest.raises(CancelJob, match="next scan"):
        measure_file(file.path, file.digest)
    assert distribution.files.get().measured_at is None


def test_what_is_not_installed_any_more_leaves_the_catalogue_but_its_measures_are_remembered(module):
    scan_again(module)
    forget_all_but(["another"])
    assert not Distribution.objects.exists()
    assert SourceFile.objects.get().digest == digest_of(module, module.read_bytes())


@pytest.mark.urls("example.urls")
def test_the_page_shows_what_is_measured_and_what_is_not_yet(client, module):
    _, distribution = scan_again(module)
    assert b"is being measured" in client.get("/").content
    run_here(distribution)
    assert b'<th scope="row">own</th><td>1.0</td>' in client.get("/").content
    assert b"is being measured" not in client.get("/").content
