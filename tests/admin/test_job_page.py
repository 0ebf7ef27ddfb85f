"""The page of one job: all about it, and nothing to change."""

from typing import Any
from uuid import uuid4

import pytest
from django.urls import reverse

from django_jobs import Batch, Sandbox, job
from django_jobs.models import Attempt
from django_jobs.states import State
from tests import rows
from tests.admin.pages import QUEUES, Page, job_page

pytestmark = pytest.mark.django_db


def attempt(job, number=1, **fields):
    return Attempt.objects.create(job=job, number=number, finished_at=rows.now(), outcome="failed", **fields)


def test_arguments_and_result_are_shown_as_pretty_json(admin_client):
    job = rows.put(State.SUCCESSFUL, arguments='[[1],{"to":"Zoë"}]', result_text='{"sent":true}')
    markup = admin_client.get(job_page(job)).content.decode()
    assert (
        "{\n  &quot;args&quot;: [\n    1\n  ],\n  &quot;kwargs&quot;: {\n    &quot;to&quot;: &quot;Zoë&quot;\n  }\n}"
        in markup
    )
    assert "{\n  &quot;sent&quot;: true\n}" in markup


def test_what_middleware_sent_along_is_shown_escaped(admin_client):
    job = rows.put(headers='{"tenant":"<b>acme"}')
    assert "{\n  &quot;tenant&quot;: &quot;&lt;b&gt;acme&quot;\n}" in admin_client.get(job_page(job)).content.decode()


def test_what_is_no_json_is_shown_as_it_is(admin_client):
    for text in ("[[broken", "5"):
        job = rows.put(State.SUCCESSFUL, arguments=text, result_text="{broken")
        shown = admin_client.get(job_page(job)).content.decode()
        assert f">{text}</pre>" in shown
        assert ">{broken</pre>" in shown


def test_what_is_not_known_yet_is_a_dash(admin_client):
    job = rows.put()
    assert "None" not in Page(admin_client.get(job_page(job))).text


def test_every_attempt_can_be_unfolded_to_its_traceback(admin_client):
    job = rows.put(State.FAILED, error="No such order.")
    attempt(job, 1, error_class="builtins.OSError", message="away", traceback="Traceback: first")
    attempt(job, 2, error_class="builtins.ValueError", message="No such order.", traceback="Traceback: second")
    page = Page(admin_client.get(job_page(job)))
    assert page.text.index("Traceback: second") < page.text.index("Traceback: first")
    assert "builtins.OSError" in page.text
    assert [tag for tag, attrs in page.tags if tag == "summary"].count("summary") >= 2


def test_an_attempt_without_a_traceback_shows_its_message(admin_client):
    job = rows.put(State.FAILED)
    attempt(job, message="The worker died while it ran this job.")
    assert Page(admin_client.get(job_page(job))).text.count("The worker died while it ran this job.") == 2


def test_a_job_with_many_attempts_is_a_page_all_the_same(admin_client, django_assert_max_num_queries):
    job = rows.put(State.FAILED)
    for number in range(60):
        attempt(job, number, traceback=f"Traceback {number}.")
    with django_assert_max_num_queries(15):
        page = Page(admin_client.get(job_page(job)))
    assert "Traceback 59." in page.text
    assert "Traceback 9." not in page.text


def test_nothing_on_the_page_can_be_changed(admin_client):
    job = rows.put(State.FAILED)
    page = Page(admin_client.get(job_page(job)))
    names = {attrs["name"] for tag, attrs in page.tags if tag in ("input", "textarea", "select") and "name" in attrs}
    assert names == {"csrfmiddlewaretoken", "_selected_action", "from_page"}
    assert admin_client.post(job_page(job), {"name": "other"}).status_code == 403
    assert rows.fresh(job).name == "samples.note"


def test_arguments_are_for_those_who_may_view_payloads(staff):
    job = rows.put(State.SUCCESSFUL, arguments='[["secret"],{}]', result_text='"secret"')
    assert "secret" in Page(staff("view_job", "view_payload").get(job_page(job))).text
    assert "secret" not in Page(staff("view_job").get(job_page(job))).text


def test_who_may_only_look_sees_no_button(viewer):
    job = rows.put(State.FAILED)
    assert Page(viewer.get(job_page(job))).forms() == []


@pytest.mark.parametrize("state", [State.RUNNING, State.SUCCESSFUL])
def test_a_job_leads_to_its_queue_and_to_the_worker_that_runs_it_or_ran_it(admin_client, state):
    worker = rows.worker(host="web1", pid=4711)
    job = rows.put(state, queue_name="mail", owner=worker)
    page = Page(admin_client.get(job_page(job)))
    assert f"{QUEUES}#queue-mail" in page.links()
    assert reverse("admin:django_jobs_worker_change", args=[worker]) in page.links()
    assert "web1:4711" in page.text
    assert "queue-mail" in [attrs.get("id") for _, attrs in Page(admin_client.get(QUEUES)).tags]


def test_a_worker_whose_row_is_gone_is_told_by_its_id(admin_client):
    job = rows.put(State.SUCCESSFUL, owner=uuid4())
    assert f"{job.owner}" in Page(admin_client.get(job_page(job))).text


def test_an_attempt_leads_to_its_worker_as_long_as_that_has_a_row(admin_client):
    job, gone = rows.put(State.FAILED), uuid4()
    worker = rows.worker(host="web1", pid=4711)
    attempt(job, 1, worker=gone)
    attempt(job, 2, worker=worker)
    page = Page(admin_client.get(job_page(job)))
    assert reverse("admin:django_jobs_worker_change", args=[worker]) in page.links()
    assert f"Worker {gone}" in page.text


def test_a_job_that_is_gone_is_told_in_words(admin_client):
    job = rows.put()
    url = job_page(job)
    job.delete()
    response = admin_client.get(url, follow=True)
    assert "Perhaps it was deleted?" in str(next(iter(response.context["messages"])))


def test_a_running_job_that_was_asked_to_stop_says_since_when_and_why(admin_client):
    fields: dict[str, Any] = {"cancel_requested": True, "error": "The order was withdrawn."}
    running = rows.put(State.RUNNING, cancel_requested_at=rows.now() - 2 * rows.HOUR, **fields)
    told = Page(admin_client.get(job_page(running))).text
    assert "2 h 0 min ago: The order was withdrawn. It may still succeed." in told
    over = rows.put(State.CANCELLED, cancel_requested_at=rows.now(), **fields)
    assert "It may still succeed." not in Page(admin_client.get(job_page(over))).text


def test_a_job_tells_its_timeout_and_its_deadline(admin_client):
    page = Page(admin_client.get(job_page(rows.put(State.RUNNING, timeout=90.0, deadline_at=rows.now()))))
    assert "1 min 30 s" in page.text


def test_a_job_tells_whether_it_runs_in_a_sandbox_and_with_which_limit(admin_client):
    @job(name="admin.alone", sandbox=Sandbox(memory_megabytes=512))
    def alone() -> None: ...

    @job(name="admin.beside_others")
    def beside_others() -> None: ...

    assert "yes, up to 512 MiB" in Page(admin_client.get(job_page(rows.put(name=alone.name)))).text
    for name in (beside_others.name, "admin.known_elsewhere"):
        assert " MiB" not in Page(admin_client.get(job_page(rows.put(name=name)))).text


def test_a_job_tells_how_large_its_batch_may_be_and_what_those_in_it_have_in_common(admin_client, staff):
    @job(name="admin.bill", batch=Batch(size=42, alike="customer"))
    def bill(items) -> None: ...

    @job(name="admin.close_books", batch=Batch(size=42, alike=lambda day: day[:7]))
    def close_books(items) -> None: ...

    for stored, common in (
        (bill.enqueue(customer="acme"), 'customer="acme"'),
        (close_books.enqueue("2026-01-31"), '"2026-01"'),
        (rows.put(name=bill.name), "Pass it by name: customer=..."),
    ):
        told = Page(admin_client.get(job_page(stored))).text
        assert "at most 42" in told
        assert common in told
        # Who may not see arguments is not told by what they are alike.
        assert common not in Page(staff("view_job").get(job_page(stored))).text
    assert "In common" not in Page(admin_client.get(job_page(rows.put()))).text


@pytest.mark.parametrize("alike", ["customer", lambda customer: customer])
def test_what_a_batch_has_in_common_is_hidden_where_it_is_sensitive(admin_client, alike):
    @job(name="admin.secretly", batch=Batch(alike=alike), sensitive=["customer"])
    def secretly(items) -> None: ...

    told = Page(admin_client.get(job_page(secretly.enqueue(customer="acme")))).text
    assert "acme" not in told
    assert "In common with its batch" in told
