"""Which queues are served now."""

import pytest

from django_jobs import queues
from django_jobs.definitions.registry import queue_names
from django_jobs.models import Queue
from django_jobs.worker.watch import QueueWatch

pytestmark = pytest.mark.django_db


def refreshed(*given: str) -> QueueWatch:
    watch = QueueWatch("default", given)
    watch.refresh()
    return watch


def test_without_a_choice_all_queues_are_served_that_code_or_rows_name():
    Queue.objects.create(name="only a row")
    assert sorted(refreshed().open_queues()) == sorted({*queue_names(), "only a row"})


def test_given_queues_alone_are_served():
    Queue.objects.create(name="only a row")
    watch = refreshed("mail", "default")
    assert sorted(watch.open_queues()) == ["default", "mail"]
    assert watch.all_queues() == ["mail", "default"]


def test_a_paused_queue_is_left_out_until_it_is_resumed_and_swept_all_the_same():
    queues["mail"].pause()
    watch = refreshed("mail", "default")
    assert watch.open_queues() == ["default"]
    assert watch.all_queues() == ["mail", "default"]
    queues["mail"].resume()
    watch.refresh()
    assert sorted(watch.open_queues()) == ["default", "mail"]


def test_with_all_queues_paused_none_is_open():
    queues["mail"].pause()
    assert refreshed("mail").open_queues() == []
