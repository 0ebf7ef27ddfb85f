"""The list of workers: who lives, who is silent, who is dead and since when."""

from datetime import timedelta

import pytest
from django.urls import reverse

from tests import rows
from tests.admin.pages import WORKERS, Page

pytestmark = pytest.mark.django_db


def test_a_worker_shows_where_it_runs_and_what_it_serves(admin_client):
    rows.worker(host="web1", pid=4711, version="0.1", queues=["mail", "default"], concurrency=8)
    *cells, beat = Page(admin_client.get(WORKERS)).cells[-1]
    assert cells == ["Alive", "web1", "4711", "0.1", "mail, default", "8"]
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
