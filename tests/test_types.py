"""The signature survives: what a type checker sees of a decorated function. mypy reads this file in every run."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, assert_type

from django_jobs import Exponential, Job, JobContext, JobFunction, JobRequest, enqueue_many, job
from django_jobs.definitions.declaring import RETRY_RULES
from django_jobs.definitions.options import OPTION_NAMES
from django_jobs.definitions.signatures import CallKeywords, DecoratorKeywords


@job(name="tests.types.add", max_attempts=3, backoff=Exponential(1))
def add(one: int, two: int = 1) -> int:
    return one + two


@job(name="tests.types.shout", takes_context=True)
def shout(context: JobContext, text: str) -> str:
    return text.upper()


@job(name="tests.types.think")
async def think(seconds: float) -> bool:
    return seconds > 0


def test_a_decorated_function_is_still_called_like_itself() -> None:
    assert_type(add(1, two=2), int)
    assert add(1, two=2) == 3


def test_a_request_is_made_of_the_arguments_without_the_context() -> None:
    assert_type(shout.request("hello"), JobRequest)
    assert shout.request("hello").args == ("hello",)


def test_options_keep_the_signature() -> None:
    handle = add.using(priority=5)
    assert handle(2) == 3
    assert handle.options.priority == 5


def test_type_checkers_know_all_options_and_no_others() -> None:
    assert CallKeywords.__annotations__.keys() == set(OPTION_NAMES)
    assert DecoratorKeywords.__annotations__.keys() == {*OPTION_NAMES, *RETRY_RULES}


def test_annotations_may_say_what_a_job_comes_to() -> None:
    def steer(job: Job[int], function: JobFunction[[int], int]) -> None: ...

    assert steer.__annotations__["job"] is Job
    assert steer.__annotations__["function"] is JobFunction


if TYPE_CHECKING:
    assert_type(add.enqueue(1), Job[int])
    assert_type(add.enqueue(1).wait(), int)
    assert_type(enqueue_many([add.request(1), shout.request("a")]), list[Job])
    handle: JobFunction[[float], Coroutine[Any, Any, bool], bool] = think

    async def check() -> None:
        assert_type(await think(1.0), bool)
        assert_type(await think.aenqueue(1.0), Job[bool])
        assert_type(await (await think.aenqueue(1.0)).await_result(), bool)

    add.enqueue("1")  # type: ignore[arg-type]
    add.enqueue()  # type: ignore[call-arg]
    shout.enqueue(1)  # type: ignore[arg-type]
    add.using(priority=1).enqueue(1, three=3)  # type: ignore[call-arg]
