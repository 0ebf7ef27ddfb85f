"""What a batch may be, said where it is written."""

from datetime import date, timedelta
from typing import Any

import pytest

from django_jobs import Batch, BatchItem, job
from django_jobs.definitions.arguments import encode_call
from django_jobs.definitions.batches import MOST_MEMBERS, likeness
from django_jobs.errors import InvalidArguments, InvalidOption


def index(items):
    return None


async def later(*args):
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
        ({"alike": 1}, "The alike of Batch must be the name of a keyword argument, or a `def` of the arguments, not 1"),
        ({"alike": ""}, "The alike of Batch must be"),
        ({"alike": "a b"}, "The alike of Batch must be .*, not 'a b'"),
        ({"alike": later}, "The alike of Batch must be .* a `def` of the arguments, not <function later"),
    ],
)
def test_what_cannot_be_a_batch_is_refused(options: dict[str, Any], message: str):
    with pytest.raises(InvalidOption, match=message):
        Batch(**options)


def alike(batch: Batch, *args: Any, **kwargs: Any) -> str:
    return likeness(batch, "shop.index", encode_call(args, kwargs, limit=10_000))


def test_without_alike_all_jobs_of_a_function_are_alike():
    assert alike(Batch(), 1) == alike(Batch(), 2, x=3)


def test_jobs_are_alike_by_the_value_of_a_keyword_argument():
    batch = Batch(alike="customer")
    assert alike(batch, 1, customer="acme") == alike(batch, 2, customer="acme", more=True)
    assert alike(batch, customer={"a": 1, "b": [2]}) == alike(batch, customer={"b": [2], "a": 1})
    values: list[Any] = ["acme", "Acme", "1", 1, True, None, [], {}, ["acme"]]
    assert len({alike(batch, customer=value) for value in values}) == len(values)


def test_jobs_are_alike_by_what_a_callable_makes_of_the_arguments_as_json_has_them():
    batch = Batch(alike=lambda day, *, shop="main": [day[:7], shop])
    assert alike(batch, date(2026, 1, 2)) == alike(batch, date(2026, 1, 31), shop="main")
    assert alike(batch, date(2026, 1, 2)) != alike(batch, date(2026, 2, 2))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            "customer",
            "Batch.alike='customer'. of job shop.index asks for .* has 'shop' by name. Pass it by name: customer=",
        ),
        (
            lambda *args, **kwargs: 1 / 0,
            "The alike of shop.index, a callable of the arguments, raised ZeroDivisionError: ",
        ),
        (lambda: 1, "raised TypeError: "),
        (lambda *args, **kwargs: {1}, r"alike of shop.index is \{1\}, which cannot travel as JSON"),
        (lambda *args, **kwargs: "x" * 999, "The alike of shop.index takes 1,001 bytes as JSON, and 1,000 are allowed"),
    ],
)
def test_where_it_cannot_be_told_whom_a_job_is_like_that_is_said(rule: Any, message: str):
    with pytest.raises(InvalidArguments, match=message):
        alike(Batch(alike=rule), 7, shop="main")


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
    def declared(items: list[BatchItem]) -> list[int]:
        return [len(items)]

    request = declared.request("one", copies=2)
    assert (request.args, request.kwargs) == (("one",), {"copies": 2})
    assert declared([1, 2, 3]) == [3]


def test_a_batch_is_no_option_of_a_call():
    with pytest.raises(InvalidOption, match="the option 'batch' goes on @job alone"):
        job(name="batches.declared")(index).using(batch=Batch())  # type: ignore[call-arg]
