"""Whatever a job carries, a page shows it as text."""

import pytest
from django.urls import reverse

from django_jobs.models import Attempt
from django_jobs.states import State
from tests import rows
from tests.admin.pages import JOBS, QUEUES, WORKERS, Page, job_page

pytestmark = pytest.mark.django_db

HOSTILE = [
    "<script hostile>alert(1)</script>",
    "</pre></details><b hostile>",
    '"><img hostile src=x onerror=alert(1)>',
    "'><svg hostile/onload=alert(1)>",
    "</textarea><i hostile>",
    "</title></style></script><u hostile>",
    "<!--><a hostile href=javascript:alert(1)>",
    "{{ 7|add:7 }}{% debug %}<s hostile>",
    "&lt;em hostile&gt;<em hostile>",
    "%(retried)s %s {0} {name} <q hostile>",
]


def assert_harmless(response, text):
    assert response.status_code == 200
    page = Page(response)
    assert not any("hostile" in attrs or "onerror" in attrs or "onload" in attrs for _, attrs in page.tags)
    assert "<" + text.partition("<")[2] in page.text.replace('\\"', '"')


@pytest.fixture(params=HOSTILE)
def text(request):
    return request.param


@pytest.fixture
def job(text):
    fields = {"name": text, "queue_name": text, "group": text, "error": text, "idempotency_key": text, "backoff": text}
    job = rows.put(State.FAILED, arguments=f"not json {text}", result_text=text, **fields)
    details = {"error_class": text, "message": text, "traceback": text}
    Attempt.objects.create(job=job, number=1, finished_at=rows.now(), outcome="failed", **details)
    return job


def test_on_the_list(admin_client, job, text):
    assert_harmless(admin_client.get(JOBS), text)
    assert_harmless(admin_client.get(JOBS, {"q": text, "queue_name": text, "state": text}), text)


def test_on_the_page_of_a_job(admin_client, job, text):
    assert_harmless(admin_client.get(job_page(job)), text)
    assert_harmless(admin_client.get(reverse("admin:django_jobs_job_history", args=[job.pk])), text)


def test_inside_arguments_that_are_json(admin_client, text):
    quoted = text.replace('"', '\\"')
    job = rows.put(State.SUCCESSFUL, arguments=f'[["{quoted}"],{{}}]', result_text=f'"{quoted}"')
    assert_harmless(admin_client.get(job_page(job)), text)


def test_after_a_retry(admin_client, job, text):
    response = admin_client.post(reverse("admin:django_jobs_job_retry", args=[job.pk]), follow=True)
    assert_harmless(response, text)


def test_on_the_page_of_queues(admin_client, settings, job, text):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "QUEUES": {text: {}}}
    assert_harmless(admin_client.get(QUEUES), text)


def test_on_the_pages_of_workers(admin_client, text):
    worker = rows.worker(host=text, version=text[:50], queues=[text], names=[text])
    assert_harmless(admin_client.get(WORKERS), text)
    assert_harmless(admin_client.get(reverse("admin:django_jobs_worker_change", args=[worker])), text)
