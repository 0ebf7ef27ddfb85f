"""In an admin site of one's own no link and no button leads to another site."""

import pytest

from django_jobs.models import Queue
from django_jobs.states import State
from tests import rows
from tests.admin.pages import Page, button, selection

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.admin.two_sites")]

HOME = "/operations/django_jobs"


def test_every_page_stays_on_its_site(admin_client):
    worker = rows.worker()
    waiting, running = rows.put(), rows.put(State.RUNNING, owner=worker)
    Queue.objects.create(name="default", paused=True, paused_at=rows.now())
    responses = [admin_client.get(f"{HOME}/{model}/") for model in ("job", "queue", "worker")]
    responses += [admin_client.get(f"{HOME}/job/{job.pk}/change/") for job in (waiting, running)]
    responses += [admin_client.get(f"{HOME}/worker/{worker}/change/")]
    responses += [admin_client.post(f"{HOME}/job/", selection(waiting.pk, action="remove"))]
    for response in responses:
        assert response.status_code == 200
        page = Page(response)
        assert not [place for place in (*page.links(), *page.forms()) if place.startswith("/admin/")]


def test_a_verb_leads_back_to_its_site(admin_client):
    job = rows.put(State.FAILED)
    _, data = button(job)
    response = admin_client.post(f"{HOME}/job/?q={job.pk}", data)
    assert response["Location"] == f"{HOME}/job/{job.pk}/change/"
    assert admin_client.post(f"{HOME}/queue/pause/", {"name": "default"})["Location"] == f"{HOME}/queue/"
