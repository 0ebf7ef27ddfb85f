"""A strict Content-Security-Policy holds, and without scripts everything can be done all the same."""

import pytest
from django.urls import reverse

from django_jobs.models import Attempt, Queue
from django_jobs.states import State
from tests import rows
from tests.admin.pages import JOBS, QUEUES, WORKERS, Page, all_matching, job_page, selection

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def pages(admin_client):
    """Every kind of page there is, by name, with something on it."""
    worker = rows.worker()
    waiting, failed, running = rows.put(), rows.put(State.FAILED), rows.put(State.RUNNING, owner=worker)
    Attempt.objects.create(job=failed, number=1, finished_at=rows.now(), outcome="failed", traceback="Traceback: ...")
    queue = Queue.objects.create(name="mail", paused=True, paused_at=rows.now())
    responses = {
        "list": admin_client.get(JOBS),
        "filtered": admin_client.get(JOBS, {"state": "failed"}),
        **{job.state: admin_client.get(job_page(job)) for job in (waiting, failed, running)},
        "remove": admin_client.post(JOBS, selection(failed.pk, action="remove")),
        "reprioritize": admin_client.post(JOBS, selection(waiting.pk, action="reprioritize")),
        "all": admin_client.post(f"{JOBS}?state=failed", all_matching()),
        "queues": admin_client.get(QUEUES),
        "queue": admin_client.get(reverse("admin:django_jobs_queue_change", args=[queue.pk])),
        "workers": admin_client.get(WORKERS),
        "worker": admin_client.get(reverse("admin:django_jobs_worker_change", args=[worker])),
    }
    assert {response.status_code for response in responses.values()} == {200}
    return {name: Page(response) for name, response in responses.items()}


def test_no_page_carries_scripts_styles_or_handlers_of_its_own(pages):
    for name, page in pages.items():
        for tag, attrs in page.tags:
            assert tag != "style", name
            assert tag != "script" or attrs.get("src"), name
            assert not [each for each in attrs if each == "style" or each.startswith("on")], name


def test_nothing_comes_from_elsewhere(pages):
    for name, page in pages.items():
        for tag, attrs in page.tags:
            source = attrs.get("src") or (attrs.get("href") if tag == "link" else None)
            assert source is None or source.startswith("/static/") or source == reverse("admin:jsi18n"), name


def test_every_verb_is_a_real_button_in_a_form(pages):
    for name in ("filtered", "ready", "failed", "running", "queues"):
        page = pages[name]
        assert page.forms(), name
        buttons = [attrs for tag, attrs in page.tags if tag == "button" and attrs.get("name") == "action"]
        assert all(attrs["type"] == "submit" for attrs in buttons), name


def test_every_field_that_one_fills_in_has_a_label(pages):
    labelled = [attrs.get("for") for tag, attrs in pages["reprioritize"].tags if tag == "label"]
    (field,) = [
        attrs for tag, attrs in pages["reprioritize"].tags if tag == "input" and attrs.get("name") == "priority"
    ]
    assert field["id"] in labelled
    described = [attrs.get("id") for _, attrs in pages["reprioritize"].tags]
    assert field["aria-describedby"] in described
