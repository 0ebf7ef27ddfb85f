"""The list of workers: who lives, who is silent, who is dead and since when."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_jobs.models import Worker
from django_jobs.states import State
from tests import rows
from tests.admin.pages import WORKERS, Page, job_page

pytestmark = pytest.mark.django_db


def test_a_worker_shows_where_it_runs_and_what_it_serves(admin_client):
    rows.worker(host="web1", pid=4711, version="0.1", queues=["mail", "default"], concurrency=8)
    _, *cells, beat = Page(admin_client.get(WORKERS)).cells[-1]
    assert cells == ["Alive", "web1", "4711", "0.1", "mail, default", "0 / 8"]
    assert beat.endswith(" ago")


def test_a_worker_that_does_not_beat_is_silent(admin_client):
    rows.worker(beat_at=rows.now() - timedelta(seconds=90))
    text = Page(admin_client.get(WORKERS)).text
    assert "Silent" in text
    assert "1 min 30 s ago" in text


def test_the_dead_and_those_who_said_goodbye_are_told_apart(admin_client):
    rows.worker(dead_at=rows.now(), died=True)
    assert "Dead since" in Page(admin_client.get(WORKERS)).text
    rows.worker(dead_at=rows.now())
    assert "Stopped at" in Page(admin_client.get(WORKERS)).text


def test_the_page_of_a_worker_names_the_jobs_that_it_can_run(admin_client):
    worker = rows.worker(names=["shop.send", "shop.resize"])
    page = Page(admin_client.get(reverse("admin:django_jobs_worker_change", args=[worker])))
    assert "shop.send shop.resize" in page.text
    assert not any(tag == "textarea" for tag, _ in page.tags)


def test_who_takes_by_hand_says_so_and_takes_any_job_unless_it_names_some(admin_client):
    hand = rows.worker(supervisor_pid=0, queues=["labels"], names=[])
    assert Page(admin_client.get(WORKERS)).cells[-1][1] == "Alive, by hand"
    page = reverse("admin:django_jobs_worker_change", args=[hand])
    assert "Job names: All" in Page(admin_client.get(page)).text
    Worker.objects.update(names=["shop.print_label"], dead_at=rows.now())
    assert "shop.print_label" in Page(admin_client.get(page)).text
    assert Page(admin_client.get(WORKERS)).cells[-1][1].endswith(", by hand")


def test_a_worker_without_queues_serves_all(admin_client):
    rows.worker(queues=[])
    assert "All" in Page(admin_client.get(WORKERS)).cells[-1]


def test_a_worker_shows_what_it_runs(admin_client):
    worker, other = rows.worker(concurrency=8), rows.worker()
    jobs = [rows.put(State.RUNNING, owner=worker) for _ in range(2)]
    rows.put(State.RUNNING, owner=other)
    rows.put(State.SUCCESSFUL, owner=worker)
    page = reverse("admin:django_jobs_worker_change", args=[worker])
    listed = Page(admin_client.get(WORKERS))
    assert "2 / 8" in listed.cells[-1]
    assert page in listed.links()
    links = Page(admin_client.get(page)).links()
    assert [link for link in links if link.endswith("/change/") and "/job/" in link] == [job_page(job) for job in jobs]


def test_a_worker_shows_its_sandboxes_and_what_they_run(admin_client):
    worker = rows.worker()
    job, gone = rows.put(State.RUNNING, owner=worker, started_at=rows.now()), rows.put()
    told = [(11, True, str(job.pk)), (12, True, None), (13, False, None), (14, True, str(gone.pk))]
    Worker.objects.update(sandboxes=[dict(zip(("pid", "ready", "job"), each, strict=True)) for each in told])
    gone.delete()
    page = reverse("admin:django_jobs_worker_change", args=[worker])
    shown = Page(admin_client.get(page))
    assert f"11: {job.name} {job.short_id}" in shown.text
    assert "12: waits for a job13: not ready yet14: waits for a job" in shown.text
    assert shown.links().count(job_page(job)) == 2
    # They end with it.
    Worker.objects.update(dead_at=rows.now())
    assert "Sandboxes: -" in Page(admin_client.get(page)).text


def test_many_workers_cost_no_more_queries_than_few(admin_client):
    rows.put(State.RUNNING, owner=rows.worker())
    with CaptureQueriesContext(connection) as few:
        admin_client.get(WORKERS)
    for _ in range(20):
        rows.put(State.RUNNING, owner=rows.worker())
    with CaptureQueriesContext(connection) as many:
        admin_client.get(WORKERS)
    assert len(many) == len(few)
