"""The list of jobs: what it tells, how one finds a job in it, and what it never asks the database for."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_jobs.admin.read_only import CappedPaginator
from django_jobs.definitions.arguments import key_digest
from django_jobs.definitions.registry import job_names
from django_jobs.models import Queue
from django_jobs.states import State
from tests import rows
from tests.admin.pages import JOBS, Page, job_page
from tests.samples import note

pytestmark = pytest.mark.django_db


def put_later(**fields):
    """Put a job whose time comes in an hour."""
    return rows.put(run_after=rows.now() + rows.HOUR, enqueued_at=rows.now(), **fields)


def listed(response):
    return [job.pk for job in response.context["cl"].result_list]


def row(response, job):
    """Return the cells of a job's row: state, name, queue, attempt, age, duration, error."""
    names = [each.pk for each in response.context["cl"].result_list]
    table = [cells for cells in Page(response).cells if len(cells) >= 7 and "samples.note" in cells]
    return table[names.index(job.pk)][-7:]


def test_a_row_tells_state_name_queue_attempt_age_duration_and_error(admin_client):
    finished = rows.now()
    started = finished - timedelta(seconds=75)
    enqueued = finished - timedelta(hours=2, minutes=10, seconds=5)
    job = rows.put(
        State.FAILED,
        queue_name="mail",
        attempt=2,
        max_attempts=5,
        enqueued_at=enqueued,
        started_at=started,
        finished_at=finished,
        error="ValueError: No such order.",
    )
    state, name, queue, attempt, age, duration, error = row(admin_client.get(JOBS), job)
    assert (state, name, queue, attempt) == ("Failed", "samples.note", "mail", "2 / 5")
    assert age.startswith("2 h 1")
    assert (duration, error) == ("1 min 15 s", "ValueError: No such order.")


def test_jobs_that_wait_for_their_time_say_so(admin_client):
    soon, again = put_later(), put_later(attempt=1)
    response = admin_client.get(JOBS)
    assert row(response, soon)[0] == "Scheduled"
    assert row(response, again)[0] == "Retrying"


def test_the_newest_job_comes_first(admin_client):
    older, newer = rows.put(), rows.put()
    assert listed(admin_client.get(JOBS)) == [newer.pk, older.pk]


def test_a_job_is_found_by_its_whole_id(admin_client):
    rows.put()
    job = rows.put()
    rows.put()
    assert listed(admin_client.get(JOBS, {"q": f" {job.pk} "})) == [job.pk]


def test_jobs_are_found_by_the_beginning_of_their_name(admin_client):
    rows.put(name="shop.mail.send")
    job = rows.put(name="shop.images.resize")
    assert listed(admin_client.get(JOBS, {"q": "shop.im"})) == [job.pk]
    assert listed(admin_client.get(JOBS, {"q": "images"})) == []


def test_a_job_is_found_by_its_idempotency_key(admin_client):
    name = job_names()[0]
    job = rows.put(name=name, idempotency_key="receipt:7", key_digest=key_digest(name, "receipt:7"))
    rows.put(name="receipt:7.and.more")
    assert listed(admin_client.get(JOBS, {"q": "receipt:7"})) == [job.pk]


def test_a_key_that_looks_like_an_id_finds_its_job_too(admin_client):
    name, other = job_names()[0], rows.put()
    job = rows.put(name=name, idempotency_key=str(other.pk), key_digest=key_digest(name, str(other.pk)))
    assert listed(admin_client.get(JOBS, {"q": str(other.pk)})) == [job.pk, other.pk]


def test_jobs_that_wait_are_listed_by_queue_the_next_first_where_an_index_has_that_order(admin_client):
    second, first = rows.put(queue_name="b"), rows.put(queue_name="a")
    sooner, hurried = rows.put(queue_name="b"), rows.put(queue_name="b", priority=5)
    response = admin_client.get(JOBS, {"state": "ready"})
    if connection.features.supports_partial_indexes:
        assert listed(response) == [first.pk, hurried.pk, second.pk, sooner.pk]
    else:
        assert listed(response) == [hurried.pk, sooner.pk, first.pk, second.pk]
    assert ("the next to start first" in Page(response).text) == connection.features.supports_partial_indexes


@pytest.mark.parametrize("value", ["\0", "mail\0", "'", "%", "x" * 5000])
def test_no_text_in_the_address_breaks_the_list(admin_client, value):
    rows.put()
    for parameter in ("q", "queue_name", "state"):
        assert admin_client.get(JOBS, {parameter: value}).status_code == 200


@pytest.mark.parametrize("phase", ["ready", "scheduled", "retrying", "running", "failed", "successful", "cancelled"])
def test_the_state_filter_gives_jobs_of_that_state_alone(admin_client, phase):
    jobs = {state.value: rows.put(state) for state in State}
    jobs["retrying"] = put_later(attempt=1)
    jobs["scheduled"] = put_later()
    expected = {jobs[phase].pk} | ({jobs["retrying"].pk} if phase == "scheduled" else set())
    assert set(listed(admin_client.get(JOBS, {"state": phase}))) == expected


def test_the_queue_filter_offers_known_queues_and_gives_jobs_of_one(admin_client):
    Queue.objects.create(name="letters")
    rows.put()
    job = rows.put(queue_name="letters")
    response = admin_client.get(JOBS, {"queue_name": "letters"})
    assert listed(response) == [job.pk]
    assert "?queue_name=letters" in response.content.decode()


def test_a_filter_value_that_nobody_offers_filters_nothing(admin_client):
    job = rows.put()
    assert listed(admin_client.get(JOBS, {"state": "delete"})) == [job.pk]


def test_two_hundred_rows_cost_no_more_queries_than_two(admin_client):
    rows.put()
    rows.put()
    with CaptureQueriesContext(connection) as few:
        admin_client.get(JOBS)
    for _ in range(198):
        rows.put(State.FAILED)
    with CaptureQueriesContext(connection) as many:
        admin_client.get(JOBS)
    assert len(many) == len(few) <= 10


def test_the_list_reads_no_payload_and_counts_no_table_to_its_end(admin_client):
    rows.put()
    with CaptureQueriesContext(connection) as queries:
        admin_client.get(JOBS)
    statements = [each["sql"] for each in queries if "django_jobs_job" in each["sql"]]
    assert statements
    for column in ("arguments", "result_text", "idempotency_key"):
        assert not any(f'"{column}"' in each or f"`{column}`" in each for each in statements)
    assert all(f"LIMIT {CappedPaginator.limit + 1}" in each for each in statements if "COUNT(" in each)


def test_a_list_with_more_jobs_than_are_counted_says_so(admin_client, monkeypatch):
    monkeypatch.setattr(CappedPaginator, "limit", 150)
    for _ in range(151):
        rows.put()
    response = admin_client.get(JOBS, {"p": 2})
    assert len(listed(response)) == 50
    assert "150+ jobs: the list ends after the first 150." in Page(response).text


def test_jobs_that_live_are_counted_to_the_last(admin_client, monkeypatch):
    monkeypatch.setattr(CappedPaginator, "limit", 100)
    for _ in range(120):
        rows.put()
    text = Page(admin_client.get(JOBS, {"state": "ready"})).text
    assert "120 jobs: the list ends after the first 100." in text


def test_a_list_that_was_counted_to_its_end_promises_no_more(admin_client, monkeypatch):
    monkeypatch.setattr(CappedPaginator, "limit", 2)
    rows.put()
    rows.put()
    page = Page(admin_client.get(JOBS))
    assert "2 jobs" in page.text
    assert "2+" not in page.text


def test_nothing_can_be_added_deleted_or_sorted(admin_client):
    rows.put()
    response = admin_client.get(JOBS)
    actions = [value for value, _ in response.context["action_form"].fields["action"].choices]
    assert actions == ["", "retry", "cancel", "run_now", "reprioritize", "remove"]
    assert reverse("admin:django_jobs_job_add") not in response.content.decode()
    assert "?o=" not in response.content.decode()


def test_jobs_are_found_by_their_metadata_by_those_who_may_see_it(admin_client, staff):
    job = note.using(metadata={"customer": 42, "name": "a=b"}).enqueue()
    note.using(metadata={"customer": 421}).enqueue()

    def found(client, term):
        return [each.pk for each in client.get(JOBS, {"q": term}).context["cl"].result_list]

    assert found(admin_client, "customer=42") == found(admin_client, " name=a=b ") == [job.pk]
    for term in ("customer=", "=42", "customer==42", "a b=1"):
        assert found(admin_client, term) == []
    assert found(staff("view_job"), "customer=42") == []


def test_metadata_is_shown_to_those_who_may_see_the_payload(admin_client, staff):
    job = note.using(metadata={"customer": "<b>42"}).enqueue()
    assert "customer=<b>42" in Page(admin_client.get(job_page(job))).text
    assert "customer=" not in Page(staff("view_job").get(job_page(job))).text
