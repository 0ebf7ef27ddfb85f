"""What a function asks for by annotation arrives as that; everything else as JSON has it."""

import asyncio
import datetime
import inspect
import typing
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, Optional

import pytest

from django_jobs import job
from django_jobs.definitions.arguments import encode_call
from django_jobs.definitions.outcomes import Failed
from django_jobs.errors import InvalidArguments
from django_jobs.execution.execute import aexecute, execute
from tests.execution.bodies import claim

MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.UTC)
ID = uuid.UUID(int=1)


def arrived(function, *args, **kwargs):
    """Return what the body of a job with this signature is called with, `def` and `async def` alike."""
    seen = []

    def body(*args, **kwargs):
        seen.append((args, kwargs))

    async def async_body(*args, **kwargs):
        seen.append((args, kwargs))

    for kind, run in ((body, execute), (async_body, lambda given: asyncio.run(aexecute(given)))):
        vars(kind)["__signature__"] = inspect.signature(function)
        handle = job(name=f"definitions.{kind.__name__}")(kind)
        request = handle.request(*args, **kwargs)
        given = claim(handle)
        text = encode_call(request.args, request.kwargs, limit=10_000)
        outcome = run(replace(given, arguments=text))
        assert not isinstance(outcome, Failed), outcome
    assert seen[0] == seen[1]
    return seen[0]


CASES = [
    (datetime.datetime, MOMENT),
    (date, date(2026, 1, 2)),
    (datetime.time, datetime.time(3, 4, 5)),
    (timedelta, timedelta(days=-1, seconds=2)),
    (Decimal, Decimal("1.10")),
    (uuid.UUID, ID),
    (date | None, date(2026, 1, 2)),
    (Optional[date], date(2026, 1, 2)),  # noqa: UP045
    (date | None, None),
    (list[date], [date(2026, 1, 2)]),
    (Sequence[uuid.UUID | None], [ID, None]),
    (dict[str, list[Decimal]], {"a": [Decimal("1.10")]}),
    (Mapping[str, date] | None, None),
]


@pytest.mark.parametrize(("annotation", "value"), CASES, ids=str)
def test_what_is_asked_for_arrives_as_what_it_was(annotation, value):
    def function(value): ...

    function.__annotations__["value"] = annotation
    ((found,), _) = arrived(function, value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("annotation", "value", "arrives"),
    [
        (Any, date(2026, 1, 2), "2026-01-02"),
        (str, date(2026, 1, 2), "2026-01-02"),
        (str | date, date(2026, 1, 2), "2026-01-02"),  # a text could be either
        (list, [date(2026, 1, 2)], ["2026-01-02"]),
        (typing.List, [date(2026, 1, 2)], ["2026-01-02"]),  # noqa: UP006
        (typing.Dict, {"a": 1}, {"a": 1}),  # noqa: UP006
        (Annotated[str, {"longest": 5}], "a", "a"),
        ([int], 3, 3),
        (int, 3, 3),
        ("Unknown", date(2026, 1, 2), "2026-01-02"),
        ("date", date(2026, 1, 2), date(2026, 1, 2)),
        (Decimal, 3, Decimal(3)),
        (Decimal, 0.1, Decimal("0.1")),
        (date, "2026-01-02", date(2026, 1, 2)),
    ],
    ids=str,
)
def test_all_else_arrives_as_json_has_it(annotation, value, arrives):
    def function(value): ...

    function.__annotations__["value"] = annotation
    ((found,), _) = arrived(function, value)
    assert found == arrives
    assert type(found) is type(arrives)


def test_it_does_not_matter_how_an_argument_is_passed():
    def function(first: date, /, second: date, *rest: date, third: date, **others: date): ...

    day = date(2026, 1, 2)
    assert arrived(function, day, day, day, day, third=day, fourth=day) == (
        (day, day, day, day),
        {"third": day, "fourth": day},
    )


def test_a_default_is_left_to_the_function():
    def function(first: date, second: date = date(2000, 1, 1)): ...

    assert arrived(function, first=date(2026, 1, 2)) == ((date(2026, 1, 2),), {})


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (date, "tomorrow"),
        (date, 5),
        (date, datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC)),
        (datetime.datetime, "2026-13-01"),
        (timedelta, "a while"),
        (Decimal, "much"),
        (Decimal, True),
        (uuid.UUID, "1"),
        (list[date], ["2026-01-02", "x"]),
        (list[date], 5),
        (dict[str, date], ["2026-01-02"]),
    ],
    ids=str,
)
def test_what_is_none_of_it_is_told_where_it_is_enqueued(annotation, value):
    def function(value): ...

    function.__annotations__["value"] = annotation
    handle = job(name="definitions.annotated")(function)
    with pytest.raises(InvalidArguments, match=r"definitions\.annotated asks for value as .* is not"):
        handle.request(value)


def test_a_stored_value_that_no_longer_fits_fails_and_says_so():
    @job(name="definitions.annotated")
    def function(value: date): ...

    outcome = execute(claim(function, "tomorrow"))
    assert isinstance(outcome, Failed)
    assert outcome.error.message == "definitions.annotated asks for value as date, which 'tomorrow' is not."


def test_a_sensitive_value_is_not_in_the_message():
    @job(name="definitions.annotated", sensitive=["value"])
    def function(value: date) -> None: ...

    with pytest.raises(InvalidArguments, match="which its value is not") as caught:
        function.request("s3cret")  # type: ignore[arg-type]
    assert "s3cret" not in str(caught.value)
