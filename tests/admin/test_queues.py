"""The page of queues: all of them, what waits in each, pause and resume."""

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_jobs.models import Queue
from django_jobs.states import State
from tests import rows
from tests.admin.pages import JOBS, QUEUES, Page

pytestmark = pytest.mark.django_db

PAUSE = reverse("admin:django_jobs_queue_pause")
RESUME = reverse("admin:django_jobs_queue_resume")


def row(response, name):
    (found,) = [each for each in response.context["rows"] if each["name"] == name]
    return found


def test_a_queue_shows_its_living_jobs(admin_client):
    rows.put(queue_name="mail")
    rows.put(queue_name="mail", run_after=rows.now() + rows.HOUR, enqueued_at=rows.now())
    rows.put(State.RUNNING, queue_name="mail")
    rows.put(State.FAILED, queue_name="mail")
    rows.put()
    rows.worker(queues=["mail"])
    response = admin_client.get(QUEUES)
    counts = row(response, "mail")["counts"]
    assert (counts.ready, counts.scheduled, counts.running, counts.blocked) == (1, 1, 1, 0)
    assert ["mail", "Open", "1", "1", "1", "0", "1 min 0 s", "PauseDrain…Clean…Obliterate…"] in Page(response).cells


def test_a_queue_with_work_that_nobody_serves_says_so(admin_client):
    rows.put(queue_name="mail")
    rows.put(State.RUNNING, queue_name="images")
    rows.worker(queues=["default"])
    rows.worker(queues=["mail"], dead_at=rows.now(), died=True)
    states = {name: state for name, state, *_ in Page(admin_client.get(QUEUES)).cells}
    assert states["mail"] == "No worker"
    assert states["images"] == states["default"] == "Open"


def test_queues_are_shown_that_have_no_row_and_no_job_or_no_declaration(admin_client, settings):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "QUEUES": {"declared": {}}}
    Queue.objects.create(name="stored")
    rows.put(queue_name="forgotten")
    names = {each["name"] for each in admin_client.get(QUEUES).context["rows"]}
    assert {"declared", "stored", "forgotten", "default"} <= names


def test_a_queue_leads_to_its_jobs(admin_client):
    rows.put(queue_name="mail")
    assert f"{JOBS}?queue_name=mail" in Page(admin_client.get(QUEUES)).links()


def test_a_count_leads_to_the_jobs_that_were_counted(admin_client):
    rows.put(State.RUNNING, queue_name="mail")
    assert f"{JOBS}?state=running&queue_name=mail" in Page(admin_client.get(QUEUES)).links()


def test_a_queue_is_paused_and_goes_on(admin_client, messages):
    response = admin_client.post(PAUSE, {"name": "default"}, follow=True)
    assert messages(response) == ["default is paused; running jobs finish."]
    assert "Paused since" in Page(response).text
    assert Page(response).forms().count(RESUME) == 1
    response = admin_client.post(RESUME, {"name": "default"}, follow=True)
    assert messages(response) == ["default goes on."]
    assert not Queue.objects.get(name="default").paused


def test_to_pause_twice_says_so_and_is_written_down_once(admin_client, admin_user, messages):
    admin_client.post(PAUSE, {"name": "default"})
    response = admin_client.post(PAUSE, {"name": "default"}, follow=True)
    assert "default was paused already." in messages(response)
    (entry,) = LogEntry.objects.all()
    assert (entry.user, entry.object_repr) == (admin_user, "default")
    assert entry.change_message == "default is paused; running jobs finish."


def test_to_resume_an_open_queue_says_so(admin_client, messages):
    assert messages(admin_client.post(RESUME, {"name": "default"}, follow=True)) == ["default was not paused."]


def test_a_name_that_cannot_be_one_is_told_in_words(admin_client, messages):
    response = admin_client.post(PAUSE, {"name": "no name"}, follow=True)
    assert messages(response) == ["'no name' is no name of a queue: 1 to 100 letters, digits or _ . : -."]
    assert not Queue.objects.exists()


def test_to_look_never_pauses(admin_client):
    assert admin_client.get(PAUSE, {"name": "default"}).status_code == 405
    assert not Queue.objects.exists()


def test_who_may_not_pause_sees_no_buttons(viewer):
    page = Page(viewer.get(QUEUES))
    assert ["default", "Open", "0", "0", "0", "0", "-"] in page.cells
    assert page.forms() == []


def test_many_queues_cost_no_more_queries_than_few(admin_client):
    with CaptureQueriesContext(connection) as few:
        admin_client.get(QUEUES)
    for number in range(30):
        rows.put(queue_name=f"queue{number}")
    with CaptureQueriesContext(connection) as many:
        admin_client.get(QUEUES)
    assert len(many) == len(few)
