"""What a job says is on its page, escaped, for those who may see it, and renews itself while the job runs."""

from pathlib import Path
from uuid import uuid4

import pytest
from django.urls import reverse

import django_jobs
from django_jobs import job
from django_jobs.definitions.progress import Progress, to_text
from django_jobs.models import LogLine, Report, SavedData
from django_jobs.models.report import line_text
from django_jobs.states import State
from tests import rows
from tests.admin.pages import Page, job_page

pytestmark = pytest.mark.django_db


LOADING = Progress(3, 12, "loading")


def talking(state=State.RUNNING, *, progress=LOADING, lines=("hello",), data='{"page":3}', **fields):
    put = rows.put(state, **fields)
    log = "\n".join(line_text(LogLine(1, rows.now(), each)) for each in lines)
    Report.objects.create(job=put, fence=put.fence, progress_text=to_text(progress), log_text=log, dropped=7)
    SavedData.objects.create(job=put, fence=put.fence, text=data)
    return put


def report_url(job):
    return reverse("admin:django_jobs_job_report", args=[job.pk])


def test_progress_log_and_data_are_on_the_page(admin_client):
    page = Page(admin_client.get(job_page(talking())))
    (bar,) = [attrs for tag, attrs in page.tags if tag == "progress"]
    assert (bar["value"], bar["max"], bar["aria-label"]) == ("25", "100", "Progress")
    assert "25 %, 3 of 12 loading" in page.text
    assert "7 older lines were left out." in page.text
    assert "hello" in page.text
    assert '{ "page": 3 }' in page.text


def test_a_structure_is_shown_as_json_and_a_number_without_a_total_without_a_bar(admin_client):
    page = Page(admin_client.get(job_page(talking(progress=Progress({"phase": "load"})))))
    assert '{ "phase": "load" }' in page.text
    page = Page(admin_client.get(job_page(talking(progress=Progress(1234567)))))
    assert "1,234,567" in page.text
    assert not [tag for tag, _ in page.tags if tag == "progress"]


def test_a_job_that_has_ended_shows_what_it_said_and_is_not_asked_again(admin_client):
    page = Page(admin_client.get(job_page(talking(State.SUCCESSFUL))))
    assert "25 %, 3 of 12 loading" in page.text
    assert not [attrs for _, attrs in page.tags if "data-live" in attrs]
    assert not any("live.js" in (attrs.get("src") or "") for _, attrs in page.tags)


def test_a_job_that_never_said_anything_has_no_such_part(admin_client):
    assert "What it says" not in Page(admin_client.get(job_page(rows.put(State.FAILED)))).text
    assert "What it says Nothing yet." in Page(admin_client.get(job_page(rows.put(State.RUNNING)))).text


def test_while_the_job_runs_a_script_of_its_own_asks_for_this_part_again(admin_client):
    job = talking()
    page = Page(admin_client.get(job_page(job)))
    assert [attrs["data-live"] for _, attrs in page.tags if "data-live" in attrs] == [report_url(job)]
    assert [attrs["src"] for tag, attrs in page.tags if tag == "script" and "live.js" in (attrs.get("src") or "")]
    part = admin_client.get(report_url(job))
    assert "no-store" in part["Cache-Control"]
    shown = Page(part)
    assert shown.tags[0][0] == "section"
    assert "25 %, 3 of 12 loading" in shown.text
    assert not [tag for tag, _ in shown.tags if tag in ("html", "script")]


def test_the_script_trusts_no_markup_and_has_no_other_host():
    script = (Path(django_jobs.__file__).parent / "static/django_jobs/live.js").read_text()
    assert "innerHTML" not in script
    assert "//" not in script.replace("// ", "")


def test_log_and_data_are_for_those_who_may_view_payloads(staff):
    job = talking(lines=["secret line"], data='{"secret":"data"}')
    for url in (job_page(job), report_url(job)):
        without = Page(staff("view_job").get(url)).text
        assert "secret" not in without
        assert "3 of 12" in without
        assert "secret line" in Page(staff("view_job", "view_payload").get(url)).text


def test_who_may_not_view_jobs_gets_no_part_of_one(staff, client):
    job = talking()
    assert staff("view_queue", "view_payload").get(report_url(job)).status_code == 403
    assert client.get(report_url(job)).status_code == 302


@pytest.mark.parametrize("id", [uuid4(), "no id", "1"])
def test_a_part_of_no_job_is_not_found(admin_client, id):
    assert admin_client.get(reverse("admin:django_jobs_job_report", args=[id])).status_code == 404


def test_saved_data_hides_what_is_sensitive(admin_client):
    @job(name="samples.secretive", sensitive=["token"])
    def secretive(token): ...

    page = Page(admin_client.get(job_page(talking(name="samples.secretive", data='{"token":"t0p","page":1}'))))
    assert "t0p" not in page.text
    assert '"token": "[hidden]"' in page.text


def test_what_a_body_says_is_only_text(admin_client):
    hostile = '</section><script>alert(1)</script><img src=x onerror="x">'
    job = talking(progress=Progress({hostile: hostile}, 5, hostile), lines=[hostile], data='{"a":"<script>"}')
    for url in (job_page(job), report_url(job)):
        page = Page(admin_client.get(url))
        assert not [attrs for tag, attrs in page.tags if attrs.get("src") == "x" or "onerror" in attrs]
        assert all(attrs.get("src") for tag, attrs in page.tags if tag == "script")
        assert page.text.count("alert(1)") == 4
