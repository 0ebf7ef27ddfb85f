"""Whoever watches a job that runs sees what it says without lifting a finger, and that it has ended."""

import pytest

from django_jobs.definitions.progress import Progress, to_text
from django_jobs.models import Job, LogLine, Report
from django_jobs.models.report import line_text
from django_jobs.states import State
from tests import rows
from tests.browser.visits import job_page

pytestmark = pytest.mark.django_db(transaction=True)


def say(job, progress, *texts):
    log = "\n".join(line_text(LogLine(1, rows.now(), text)) for text in texts)
    words = {"fence": job.fence, "progress_text": to_text(progress), "log_text": log}
    Report.objects.update_or_create(job=job, defaults=words)


def test_the_page_of_a_running_job_follows_it_to_its_end(visit, admin):
    job = rows.put(State.RUNNING, owner=rows.worker())
    say(job, Progress(1, 4), "the first line")
    visit = visit(admin)
    visit.open(job_page(job))
    page = visit.page
    assert page.locator("progress").get_attribute("value") == "25"

    # A reader of screens is told only of what changes inside of the status that it has met.
    page.locator("[role=status]").evaluate("(status) => { status.heard = true }")
    say(job, Progress(3, 4), "the first line", "<b>the second</b> line")
    page.get_by_text("<b>the second</b> line").wait_for()
    assert page.locator("progress").get_attribute("value") == "75"
    assert page.locator("[role=status]", has=page.locator("progress")).evaluate("(status) => status.heard")

    Job.objects.filter(pk=job.pk).update(state=State.SUCCESSFUL, finished_at=rows.now())
    page.locator(".jobs-badge", has_text="Successful").first.wait_for()
    assert page.locator("[data-live]").count() == 0
    assert "<b>the second</b> line" in page.locator(".jobs-log").inner_text()
