"""No page looks at the whole table: what the database does for it is the same when there are four times the rows."""

from functools import partial
from typing import Any

import pytest
from django.urls import reverse

from django_jobs.admin import job_list
from django_jobs.admin.formatting import PHASES
from django_jobs.admin.read_only import CappedPaginator
from django_jobs.definitions.arguments import key_digest
from django_jobs.definitions.registry import job_names
from django_jobs.models import Job
from django_jobs.states import State
from tests import rows
from tests.admin.pages import JOBS, QUEUES, WORKERS, Page, all_matching, job_page
from tests.admin.work import refresh_statistics, work

# Committed, for statistics are taken of nothing else.
pytestmark = pytest.mark.django_db(transaction=True)

FEW = 2_000
REACH = 100
LISTS = [
    *("", *(f"state={phase}" for phase in PHASES)),
    *("queue_name=rare", "queue_name=default", "q=rare", "q=samples", "q=nobody", "q=the+key"),
    *("state=failed&queue_name=rare", "state=failed&q=nobody", "state=successful&q=nobody"),
    *("state=ready&queue_name=rare", "state=running&q=nobody", "state=blocked&queue_name=rare"),
    "queue_name=rare&q=nobody",
]


@pytest.fixture(autouse=True)
def short_reach(monkeypatch):
    monkeypatch.setattr(job_list, "MOST_LISTED", REACH)
    monkeypatch.setattr(CappedPaginator, "limit", REACH)


@pytest.fixture
def oldest():
    """Put a few jobs of every kind that lie below all others, where a walk along the key comes last."""
    worker = rows.worker()
    later: dict[str, Any] = {"run_after": rows.now() + rows.HOUR, "enqueued_at": rows.now()}
    jobs = []
    for _ in range(20):
        jobs += [rows.new(state) for state in State if state != State.RUNNING]
        jobs += [rows.new(State.RUNNING, owner=worker), rows.new(**later), rows.new(**later, attempt=1)]
    jobs += [rows.new(State.FAILED) for _ in range(REACH)]
    jobs.append(rows.new(State.SUCCESSFUL, name="rare.name", queue_name="rare"))
    jobs.append(rows.new(State.SUCCESSFUL, idempotency_key="the key", key_digest=key_digest(job_names()[0], "the key")))
    Job.objects.bulk_create(jobs)
    return jobs


def put_successful(count):
    Job.objects.bulk_create([rows.new(State.SUCCESSFUL) for _ in range(count)], batch_size=500)
    refresh_statistics()


def test_no_page_does_more_because_the_table_has_grown(admin_client, oldest):
    failed = next(job for job in oldest if job.state == "failed")
    worker = next(job.owner for job in oldest if job.state == "running")
    places = [f"{JOBS}?{query}" for query in LISTS]
    places += [job_page(failed), QUEUES, WORKERS, reverse("admin:django_jobs_worker_change", args=[worker])]

    def measured():
        looked = {place: work(partial(admin_client.get, place)) for place in places}
        asked = {f"POST {query}": work(partial(ask, query)) for query in LISTS}
        return looked | asked

    def ask(query):
        assert admin_client.post(f"{JOBS}?{query}", all_matching("cancel")).status_code == 200

    put_successful(FEW)
    before = measured()
    put_successful(3 * FEW)
    after = measured()
    assert {place: (before[place], after[place]) for place in after if after[place] > 1.3 * before[place] + 50} == {}


def test_what_is_old_and_rare_is_found_where_an_index_leads_to_it(admin_client, oldest):
    put_successful(2 * REACH)
    for query, count in (("state=running", 20), ("state=retrying", 20), ("state=blocked", 20), ("q=the+key", 1)):
        assert admin_client.get(f"{JOBS}?{query}").context["cl"].result_count == count
    for query in (oldest[0].pk, f"+{oldest[0].pk}+"):
        assert admin_client.get(f"{JOBS}?q={query}").context["cl"].result_count == 1


def test_a_list_that_does_not_reach_the_oldest_says_so(admin_client, oldest):
    put_successful(2 * REACH)
    for query in ("", "state=successful", "queue_name=rare", "q=rare"):
        assert f"Among the newest {REACH} jobs." in Page(admin_client.get(f"{JOBS}?{query}")).text
    assert admin_client.get(f"{JOBS}?queue_name=rare").context["cl"].result_count == 0
    text = Page(admin_client.get(f"{JOBS}?state=failed&queue_name=rare")).text
    assert f"Among the newest {REACH} jobs in the state Failed." in text


def test_a_list_that_reaches_them_promises_no_more(admin_client, oldest):
    put_successful(2 * REACH)
    for query in ("state=failed", "state=ready", "state=running&queue_name=rare", "q=the+key"):
        assert "Among the newest" not in Page(admin_client.get(f"{JOBS}?{query}")).text
