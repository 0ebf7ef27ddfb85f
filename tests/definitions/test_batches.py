"""What a batch may be, said where it is written."""

from datetime import timedelta
from typing import Any

import pytest

from django_jobs import Batch, job
from django_jobs.definitions.batches import MOST_MEMBERS
from django_jobs.errors import InvalidOption, NotAvailableYet


def index(items):
    return None


def test_a_batch_is_enough_when_it_is_full_unless_fewer_do():
    assert Batch(size=7).enough == 7
    assert Batch(size=7, minimum=2).enough == 2
    assert Batch(wait=timedelta(minutes=1)).wait_seconds == 60


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, f"The size of Batch must be a whole number from 1 to {MOST_MEMBERS}, not 0."),
        ({"size": MOST_MEMBERS + 1}, "The size of Batch must be"),
        ({"size": True}, "not True"),
        ({"size": 2.0}, "not 2.0"),
        ({"size": 5, "minimum": 6}, "The minimum of Batch must be a whole number from 1 to 5, not 6."),
        ({"size": 5, "minimum": 0}, "not 0"),
        ({"wait": -1}, "The wait of Batch must be a duration"),
        ({"wait": float("nan")}, "The wait of Batch must be a duration"),
        ({"wait": "2"}, "The wait of Batch must be seconds or a timedelta"),
        ({"per_group": 1}, "The per_group of Batch must be True or False, not 1."),
    ],
)
def test_what_cannot_be_a_batch_is_refused(options: dict[str, Any], message: str):
    with pytest.raises(InvalidOption, match=message):
        Batch(**options)


def test_batches_of_one_group_are_not_available_yet():
    with pytest.raises(NotAvailableYet, match="needs groups"):
        Batch(per_group=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 100}, r"batch must be Batch\(...\), not 100."),
        ({"batch": Batch(), "atomic": True}, "batch and atomic contradict each other.*Open one in the body."),
        ({"batch": Batch(), "takes_context": True}, ".*each item of the list is the context of its own job."),
        ({"batch": Batch(), "sandbox": True}, "batch and sandbox contradict each other"),
    ],
)
def test_what_does_not_go_with_a_batch_is_refused_at_import(options: dict[str, Any], message: str):
    with pytest.raises(InvalidOption, match=rf"@job of tests.definitions.test_batches.index: {message}"):
        job(name="batches.refused", **options)(index)


@pytest.mark.parametrize("function", [lambda: None, lambda items, other: None, lambda *, items: None])
def test_the_function_of_a_batch_takes_a_list_and_nothing_else(function):
    function.__name__ = function.__qualname__ = "index"
    with pytest.raises(InvalidOption, match="with one argument, a list of BatchItems"):
        job(name="batches.refused", batch=Batch())(function)


def test_each_item_is_enqueued_with_arguments_of_its_own_and_a_plain_call_is_a_plain_call():
    @job(name="batches.declared", batch=Batch(size=2))
    def declared(items: list[Any]) -> int:
        return len(items)

    request = declared.request("one", copies=2)
    assert (request.args, request.kwargs) == (("one",), {"copies": 2})
    assert declared([1, 2, 3]) == 3


def test_a_batch_is_no_option_of_a_call():
    with pytest.raises(InvalidOption, match="the option 'batch' goes on @job alone"):
        job(name="batches.declared")(index).using(batch=Batch())
