"""The page of a job shows its steps: what is done, when, and what came of it."""

from datetime import timedelta

import pytest

from django_jobs import job
from django_jobs.models import Step
from django_jobs.states import State
from tests import rows
from tests.admin.pages import Page, job_page

pytestmark = pytest.mark.django_db


@job(name="admin.secretive", sensitive=["return"])
def secretive(): ...


def step(of, name="charge", **fields):
    moment = rows.now()
    values = {"attempt": 1, "started_at": moment - timedelta(seconds=3), "finished_at": moment} | fields
    return Step.objects.create(job=of, name=name, **values)


def test_steps_are_shown_with_when_how_long_and_what_came_of_them(admin_client):
    of = rows.put(State.FAILED)
    step(of, "charge", attempt=2, result_text='{"receipt":7}')
    page = Page(admin_client.get(job_page(of)))
    assert "Step Attempt Finished Duration Result charge 2 " in page.text
    assert '3.0 s { "receipt": 7 }' in page.text
    assert "not used" not in page.text


def test_a_job_without_steps_has_no_such_section(admin_client):
    assert "Steps" not in Page(admin_client.get(job_page(rows.put()))).text


def test_a_step_that_the_last_attempt_did_not_use_is_marked(admin_client):
    of = rows.put(State.SUCCESSFUL)
    step(of, unused=True)
    assert "charge not used by the last attempt" in Page(admin_client.get(job_page(of))).text


def test_results_of_steps_are_for_those_who_may_view_payloads(staff):
    of = rows.put(State.FAILED)
    step(of, result_text='"secret"')
    assert "secret" in Page(staff("view_job", "view_payload").get(job_page(of))).text
    page = Page(staff("view_job").get(job_page(of))).text
    assert "charge" in page
    assert "secret" not in page


def test_results_of_steps_are_hidden_where_that_of_the_job_is(admin_client):
    of = rows.put(State.FAILED, name=secretive.name)
    step(of, result_text='"secret"')
    page = Page(admin_client.get(job_page(of))).text
    assert "secret" not in page.replace("secretive", "")
    assert "[hidden]" in page


def test_a_hostile_name_or_result_is_text(admin_client):
    of = rows.put(State.FAILED)
    step(of, "<script>alert(1)</script>", result_text='"<b>"')
    step(of, "broken", result_text="<i>no JSON")
    markup = admin_client.get(job_page(of)).content.decode()
    for tag in ("<script>alert", "<b>", "<i>"):
        assert tag not in markup


def test_a_job_with_very_many_steps_is_a_page_all_the_same(admin_client, django_assert_max_num_queries):
    of = rows.put(State.FAILED)
    moment = rows.now()
    Step.objects.bulk_create(
        Step(job=of, name=f"page {n}.", attempt=1, started_at=moment, finished_at=moment) for n in range(250)
    )
    with django_assert_max_num_queries(16):
        page = Page(admin_client.get(job_page(of))).text
    assert "page 249." in page
    assert "page 9." not in page
