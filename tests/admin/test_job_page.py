"""The page of one job: all about it, and nothing to change."""

import pytest

from django_jobs.models import Attempt
from django_jobs.states import State
from tests import rows
from tests.admin.pages import Page, job_page, retry_url

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
    with django_assert_max_num_queries(10):
        page = Page(admin_client.get(job_page(job)))
    assert "Traceback 59." in page.text
    assert "Traceback 9." not in page.text


def test_nothing_on_the_page_can_be_changed(admin_client):
    job = rows.put(State.FAILED)
    page = Page(admin_client.get(job_page(job)))
    names = {attrs["name"] for tag, attrs in page.tags if tag in ("input", "textarea", "select") and "name" in attrs}
    assert names == {"csrfmiddlewaretoken"}
    assert admin_client.post(job_page(job), {"name": "other"}).status_code == 403
    assert rows.fresh(job).name == "samples.note"


def test_arguments_are_for_those_who_may_view_payloads(staff):
    job = rows.put(State.SUCCESSFUL, arguments='[["secret"],{}]', result_text='"secret"')
    assert "secret" in Page(staff("view_job", "view_payload").get(job_page(job))).text
    assert "secret" not in Page(staff("view_job").get(job_page(job))).text


@pytest.mark.parametrize("state", list(State))
def test_only_a_job_that_has_ended_has_a_retry_button(admin_client, state):
    job = rows.put(state)
    forms = Page(admin_client.get(job_page(job))).forms()
    assert forms == ([retry_url(job)] if job.is_finished else [])


def test_who_may_not_retry_sees_no_button(viewer):
    job = rows.put(State.FAILED)
    assert Page(viewer.get(job_page(job))).forms() == []


def test_no_page_carries_scripts_or_styles_of_its_own(admin_client):
    job = rows.put(State.FAILED)
    attempt(job, traceback="Traceback: ...")
    page = Page(admin_client.get(job_page(job)))
    assert all(attrs.get("src") for tag, attrs in page.tags if tag == "script")
    assert not any(tag == "style" or "style" in attrs or "onclick" in attrs for tag, attrs in page.tags)


def test_a_job_that_is_gone_is_told_in_words(admin_client):
    job = rows.put()
    url = job_page(job)
    job.delete()
    response = admin_client.get(url, follow=True)
    assert "Perhaps it was deleted?" in str(next(iter(response.context["messages"])))
