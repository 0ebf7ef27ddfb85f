"""In the admin a @task is a job like any other."""

import re

import pytest

from django_jobs import cancel, job
from django_jobs.models import Job
from tests.admin.pages import JOBS, Page, job_page
from tests.project.tasks import add

pytestmark = pytest.mark.django_db


@job(name="tests.project.tasks.job", queue_name="default")
def add_too(first, second):
    return first + second


TIMES = re.compile(r"\d+[.,]?\d* ?(ms|s|seconds?|minutes?)\b")


def listed(client, each):
    """Return the cells of a row in the list, without what must differ: the name, the id, durations."""
    (cells,) = [cells for cells in Page(client.get(JOBS)).cells if each.name in cells]
    return [TIMES.sub("...", cell) for cell in cells if cell != each.name and str(each.pk) not in cell]


def parts(client, each):
    """Return what the page of a row is made of: what its forms send, and the classes of what it shows."""
    page = Page(client.get(job_page(each)))
    sent = [(attrs.get("name"), attrs.get("type")) for tag, attrs in page.tags if tag in ("button", "input", "select")]
    return sent, [attrs["class"] for tag, attrs in page.tags if tag == "div" and "class" in attrs]


@pytest.mark.parametrize("is_over", [False, True], ids=["waits", "ended"])
def test_rows_of_tasks_and_jobs_look_alike(admin_client, is_over):
    both = (Job.objects.get(pk=add.enqueue(1, second=2).id), add_too.enqueue(1, second=2))
    if is_over:
        assert cancel(Job.objects.all(), reason="Not needed.") == 2
    ours, theirs = (listed(admin_client, each) for each in both)
    assert ours == theirs
    assert any(ours)
    ours, theirs = (parts(admin_client, each) for each in both)
    assert ours == theirs
    assert all(ours)
