"""Cancel, run now, reprioritise, remove: each acts on what it can, and asks first where that is due."""

import pytest
from django.contrib.admin.models import DELETION, LogEntry

from django_jobs.models import Job
from django_jobs.states import State
from tests import rows
from tests.admin.pages import JOBS, Page, button, job_page, selection

pytestmark = pytest.mark.django_db


def put_later():
    return rows.put(run_after=rows.now() + rows.HOUR, enqueued_at=rows.now())


def ask(client, verb, *jobs):
    """Return the page that asks first."""
    return client.post(JOBS, selection(*[job.pk for job in jobs], action=verb))


def confirm(client, asked, **answers):
    """Send what the form of that page sends."""
    return client.post(JOBS, {**Page(asked).fields(), **answers}, follow=True)


def test_jobs_that_wait_are_cancelled_and_running_ones_are_asked_to_stop(admin_client, messages):
    ready, running, ended = rows.put(), rows.put(State.RUNNING), rows.put(State.SUCCESSFUL)
    asked = ask(admin_client, "cancel", ready, running, ended)
    assert "2 of 3 jobs will be cancelled, or asked to stop if they run." in Page(asked).text
    assert rows.fresh(ready).state == "ready"
    assert messages(confirm(admin_client, asked, reason="The order was withdrawn.")) == [
        "2 of 3 jobs were cancelled, or asked to stop. Only jobs that have not ended can, and each is asked once."
    ]
    assert (rows.fresh(ready).state, rows.fresh(ended).state) == ("cancelled", "successful")
    assert rows.fresh(running).cancel_requested
    assert rows.fresh(ready).error == rows.fresh(running).error == "The order was withdrawn."


def test_a_cancel_needs_no_reason(admin_client):
    job = rows.put()
    confirm(admin_client, ask(admin_client, "cancel", job))
    assert (rows.fresh(job).state, rows.fresh(job).error) == ("cancelled", "Cancelled by hand.")


def test_a_reason_that_is_too_long_is_asked_for_again(admin_client):
    job = rows.put()
    assert confirm(admin_client, ask(admin_client, "cancel", job), reason="x" * 501).context["form"].errors
    assert rows.fresh(job).state == "ready"


def test_a_scheduled_job_is_made_due(admin_client, messages):
    job, due = put_later(), rows.put()
    response = admin_client.post(JOBS, selection(job.pk, due.pk, action="run_now"), follow=True)
    assert messages(response) == ["1 of 2 jobs are due now. Only jobs that wait for their time can be."]
    assert rows.fresh(job).run_after <= rows.now() + rows.HOUR / 2


def test_the_priority_is_asked_for(admin_client, messages):
    job, ended = rows.put(), rows.put(State.FAILED)
    asked = ask(admin_client, "reprioritize", job, ended)
    assert "1 of 2 jobs will get the priority. Only jobs that wait can." in Page(asked).text
    assert rows.fresh(job).priority == 0
    response = confirm(admin_client, asked, priority=7)
    assert messages(response) == ["1 of 2 jobs have the priority now. Only jobs that wait can."]
    assert (rows.fresh(job).priority, rows.fresh(ended).priority) == (7, 0)


@pytest.mark.parametrize("priority", ["", "101", "-101", "1.5", "high"])
def test_what_cannot_be_a_priority_is_asked_for_again(admin_client, priority):
    job = rows.put()
    response = confirm(admin_client, ask(admin_client, "reprioritize", job), priority=priority)
    assert response.context["form"].errors
    assert rows.fresh(job).priority == 0


def test_jobs_are_removed_once_that_was_confirmed(admin_client, messages):
    failed, running = rows.put(State.FAILED), rows.put(State.RUNNING)
    asked = ask(admin_client, "remove", failed, running)
    assert "1 of 2 jobs will be removed for ever" in Page(asked).text
    assert Job.objects.count() == 2
    assert messages(confirm(admin_client, asked)) == ["1 of 2 jobs were removed. Running jobs stay."]
    assert list(Job.objects.values_list("pk", flat=True)) == [running.pk]


def test_a_removed_job_is_written_down_as_gone(admin_client, admin_user):
    job = rows.put(State.FAILED)
    confirm(admin_client, ask(admin_client, "remove", job))
    (entry,) = LogEntry.objects.all()
    assert (entry.user, entry.object_id, entry.action_flag) == (admin_user, str(job.pk), DELETION)
    assert entry.change_message == "Remove: 1 of 1 job was removed."


def test_nothing_to_do_offers_no_button(admin_client):
    page = Page(ask(admin_client, "remove", rows.put(State.RUNNING)))
    assert "0 of 1 job will be removed" in page.text
    assert [attrs for tag, attrs in page.tags if tag == "input" and attrs.get("type") == "submit"] == []


def test_from_the_page_of_a_job_one_is_asked_and_led_back(admin_client):
    job = rows.put()
    url, data = button(job, "reprioritize")
    asked = admin_client.post(url, data)
    links = [attrs["href"] for tag, attrs in Page(asked).tags if tag == "a" and attrs.get("class") == "closelink"]
    assert links == [job_page(job)]
    response = admin_client.post(url, {**Page(asked).fields(), "priority": 3}, follow=True)
    assert response.redirect_chain == [(job_page(job), 302)]
    assert rows.fresh(job).priority == 3


def test_a_job_that_was_removed_on_its_page_leads_to_the_list(admin_client):
    url, data = button(rows.put(), "remove")
    response = admin_client.post(url, {**data, "confirmed": "yes"}, follow=True)
    assert response.redirect_chain == [(JOBS, 302)]


BUTTONS = {
    "blocked": ["cancel", "reprioritize", "remove"],
    "ready": ["cancel", "reprioritize", "remove"],
    "scheduled": ["cancel", "run_now", "reprioritize", "remove"],
    "running": ["cancel"],
    "successful": ["retry", "remove"],
    "failed": ["retry", "remove"],
    "cancelled": ["retry", "remove"],
}


@pytest.mark.parametrize("phase", BUTTONS)
def test_the_page_of_a_job_has_buttons_for_what_can_be_done_now(admin_client, phase):
    job = put_later() if phase == "scheduled" else rows.put(State(phase))
    assert Page(admin_client.get(job_page(job))).verbs() == BUTTONS[phase]


def test_a_running_job_is_asked_to_stop_once(admin_client):
    job = rows.put(State.RUNNING, cancel_requested=True)
    assert Page(admin_client.get(job_page(job))).verbs() == []


@pytest.mark.parametrize("verb", ["retry", "cancel", "run_now", "reprioritize", "remove"])
def test_who_has_one_permission_sees_one_button(staff, verb):
    client = staff("view_job", f"{verb}_job")
    jobs = [put_later(), rows.put(State.FAILED)]
    assert {each for job in jobs for each in Page(client.get(job_page(job))).verbs()} == {verb}
