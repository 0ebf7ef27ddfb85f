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


def test_each_queue_comes_first_in_turn_also_when_another_is_paused_meanwhile():
    watch = refreshed("a", "b", "c")
    rounds = [watch.open_queues() for _ in range(6)]
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert [each[0] for each in rounds].count("a") == 2
    assert len({each[0] for each in rounds[:3]}) == 3
    queues["b"].pause()
    watch.refresh()
    assert {watch.open_queues()[0] for _ in range(2)} == {"a", "c"}


def test_a_refresh_that_finds_the_same_queues_does_not_begin_the_round_again():
    watch = refreshed("a", "b")
    firsts = []
    for _ in range(4):
        watch.refresh()
        firsts.append(watch.open_queues()[0])
    assert sorted(firsts) == ["a", "a", "b", "b"]
