"""Run it again: from the list and from the page, told and written down."""

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from django_jobs.admin import audit
from django_jobs.states import State
from tests import rows
from tests.admin.pages import JOBS, button, job_page, selection

pytestmark = pytest.mark.django_db


def test_selected_jobs_run_again_and_the_user_is_told_how_many(admin_client, messages):
    failed = [rows.put(State.FAILED) for _ in range(2)]
    other = rows.put(State.FAILED)
    response = admin_client.post(JOBS, selection(*[job.pk for job in failed]), follow=True)
    assert messages(response) == ["2 of 2 jobs will run again."]
    assert [rows.fresh(job).state for job in failed] == ["ready", "ready"]
    assert rows.fresh(other).state == "failed"


def test_jobs_that_cannot_run_again_are_left_and_counted(admin_client, messages):
    failed, running = rows.put(State.FAILED), rows.put(State.RUNNING)
    response = admin_client.post(JOBS, selection(failed.pk, running.pk), follow=True)
    assert messages(response) == ["1 of 2 jobs will run again. Only jobs that have ended can."]
    assert rows.fresh(running).state == "running"


def test_the_filters_are_kept_after_an_action(admin_client):
    job = rows.put(State.FAILED)
    response = admin_client.post(f"{JOBS}?state=failed", selection(job.pk))
    assert response["Location"] == f"{JOBS}?state=failed"


def test_the_bells_ring_once_the_retry_is_committed(admin_client, transport, django_capture_on_commit_callbacks):
    job = rows.put(State.FAILED)
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post(JOBS, selection(job.pk))
    assert transport.rung == [job.pk]


def test_the_button_of_a_page_runs_that_job_again(admin_client, messages):
    job = rows.put(State.FAILED, attempt=3, error="No such order.")
    response = admin_client.post(*button(job), follow=True)
    assert response.redirect_chain == [(job_page(job), 302)]
    assert messages(response) == ["1 of 1 job will run again."]
    assert (rows.fresh(job).state, rows.fresh(job).attempt, rows.fresh(job).error) == ("ready", 0, "")


def test_a_button_pressed_too_late_says_so(admin_client, messages):
    job = rows.put(State.RUNNING)
    response = admin_client.post(*button(job), follow=True)
    assert messages(response) == ["0 of 1 job will run again. Only jobs that have ended can."]


def test_retrying_a_job_that_is_gone_leads_to_the_list(admin_client, messages):
    job = rows.put(State.FAILED)
    url, data = button(job)
    job.delete()
    response = admin_client.post(url, data, follow=True)
    assert response.redirect_chain == [(JOBS, 302)]
    assert messages(response) == ["0 of 0 jobs will run again."]


def test_to_look_never_retries(admin_client):
    job = rows.put(State.FAILED)
    url, data = button(job)
    admin_client.get(url, data)
    admin_client.get(JOBS, selection(job.pk))
    assert rows.fresh(job).state == "failed"


def test_a_form_from_elsewhere_is_refused(admin_user):
    job = rows.put(State.FAILED)
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.post(*button(job)).status_code == 403
    assert client.post(JOBS, selection(job.pk)).status_code == 403
    assert rows.fresh(job).state == "failed"


def test_the_history_of_a_job_tells_who_retried_it(admin_client, admin_user):
    job = rows.put(State.FAILED)
    admin_client.post(*button(job))
    (entry,) = LogEntry.objects.all()
    assert (entry.user, entry.object_id, entry.action_flag) == (admin_user, str(job.pk), 2)
    history = reverse("admin:django_jobs_job_history", args=[job.pk])
    assert "Retry: 1 of 1 job will run again." in admin_client.get(history).content.decode()


def test_what_is_done_to_many_jobs_is_one_entry(admin_client, admin_user, monkeypatch):
    monkeypatch.setattr(audit, "MOST_ENTRIES", 2)
    jobs = [rows.put(State.FAILED) for _ in range(3)]
    admin_client.post(JOBS, selection(*[job.pk for job in jobs]))
    (entry,) = LogEntry.objects.all()
    assert (entry.user, entry.object_id, entry.object_repr) == (admin_user, None, "3 jobs")
    assert entry.change_message == "Retry: 3 of 3 jobs will run again."


def test_jobs_cannot_be_deleted_behind_the_back_of_the_verbs(admin_client):
    job = rows.put(State.RUNNING)
    admin_client.post(JOBS, selection(job.pk, action="delete_selected", post="yes"))
    admin_client.post(reverse("admin:django_jobs_job_delete", args=[job.pk]), {"post": "yes"})
    assert rows.fresh(job).state == "running"
