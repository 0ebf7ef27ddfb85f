"""@job makes a handle of a function: it is called as before, and knows how to become a job."""

import inspect
from copy import copy
from typing import Any

import pytest

from django_jobs import Fixed, JobFunction, job
from django_jobs.definitions.registry import get_spec, job_names
from django_jobs.errors import DuplicateJobName, InvalidOption, NotAvailableYet
from tests import samples
from tests.samples import mail, note


@job
def bare(one: int, two: str = "b") -> str:
    """Say both."""
    return f"{one}{two}"


@job(name="decorators.waits")
async def waits(one: int) -> int:
    return one


def plain(one): ...


def test_a_bare_decorator_takes_the_dotted_path_for_the_name():
    assert bare.name == bare.spec.name == bare.spec.path == "tests.test_decorators.bare"
    assert repr(bare) == "<job tests.test_decorators.bare>"


def test_the_handle_is_called_like_the_function():
    assert (bare(1), bare(1, two="c")) == ("1b", "1c")
    with pytest.raises(TypeError):
        bare()  # type: ignore[call-arg]
    assert inspect.unwrap(bare) is bare.spec.function
    assert inspect.signature(bare) == inspect.signature(bare.spec.function)


def test_an_async_function_stays_one():
    assert waits.spec.is_async
    assert not bare.spec.is_async
    coroutine = waits(1)
    assert inspect.iscoroutine(coroutine)
    coroutine.close()


def test_a_name_is_what_the_rows_say():
    assert (mail.name, mail.spec.path) == ("samples.mail", "tests.samples.mail")


def test_a_module_that_is_loaded_again_registers_its_jobs_again():
    again = job(bare.spec.function)
    assert (again.name, again.spec.path) == (bare.name, bare.spec.path)


def test_two_functions_with_one_name_are_told_of_each_other():
    with pytest.raises(DuplicateJobName) as caught:
        job(name="samples.note")(plain)
    for part in ("'samples.note'", "tests.test_decorators.plain", "tests.samples.note", "@job(name=...)"):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "x" * 201, "a\n", 7, "é!"])
def test_a_name_that_cannot_be_one_is_told(name):
    with pytest.raises(InvalidOption, match=r"@job of tests.test_decorators.plain: name must be 1 to 200 letters"):
        job(name=name)(plain)


def test_a_function_inside_a_function_needs_a_name():
    def inner(): ...

    with pytest.raises(InvalidOption, match="needs a name=, for workers cannot import it"):
        job(inner)
    assert job(name="decorators.inner")(inner).name == "decorators.inner"


@pytest.mark.parametrize(
    "thing", [len, object, lambda: None, note, staticmethod(plain), 7], ids=lambda thing: type(thing).__name__
)
def test_only_functions_are_jobs(thing):
    with pytest.raises(InvalidOption, match="@job"):
        job(thing)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"priorty": 1}, InvalidOption, "there is no option 'priorty'. Did you mean 'priority'?"),
        ({"max_attempts": "3"}, InvalidOption, "max_attempts must be a whole number from 1 to 32000, not '3'."),
        ({"atomic": "yes"}, InvalidOption, "atomic must be True or False, not 'yes'."),
        ({"schedule": True}, NotAvailableYet, "the option 'schedule' is not available yet."),
    ],
)
def test_a_wrong_option_fails_at_import_and_says_whose_it_is(options, error, message):
    with pytest.raises(error) as caught:
        job(name="decorators.wrong", **options)(plain)
    assert str(caught.value) == f"@job of tests.test_decorators.plain: {message}"


def test_an_atomic_job_is_a_def_and_an_async_one_is_told_what_to_do_instead():
    assert job(name="decorators.atomic", atomic=True)(plain).spec.is_atomic
    assert not note.spec.is_atomic
    with pytest.raises(InvalidOption, match=r"waits: atomic=True needs a `def`.*put its writes into a step"):
        job(name="decorators.atomic_async", atomic=True)(waits.spec.function)


def test_the_context_is_no_argument_of_the_caller():
    assert list(samples.with_context.spec.signature.parameters) == ["number"]
    assert samples.with_context.spec.takes_context


@pytest.mark.parametrize(
    "function",
    [
        lambda: None,
        lambda number: None,
        lambda number, context: None,
        lambda *context: None,
        lambda *, context: None,
        lambda **context: None,
    ],
    ids=["nothing", "another", "second", "many", "keyword", "keywords"],
)
def test_a_context_must_be_the_first_parameter(function):
    with pytest.raises(InvalidOption, match="takes_context=True needs a first parameter called 'context'"):
        job(name="decorators.context", takes_context=True)(function)


def test_a_context_may_be_positional_only():
    def function(context, /, number): ...

    handle = job(name="decorators.positional", takes_context=True)(function)
    assert list(handle.spec.signature.parameters) == ["number"]


def test_callables_stay_with_the_function_and_out_of_the_options():
    def backoff(error, context):
        return 1

    handle = job(name="decorators.callables", backoff=backoff, idempotency_key=str)(plain)
    assert (handle.spec.backoff_function, handle.spec.key_function) == (backoff, str)
    assert handle.spec.options == type(handle.spec.options)()
    for option in ("backoff", "idempotency_key"):
        with pytest.raises(InvalidOption, match=option):
            handle.using(**{option: backoff})  # type: ignore[arg-type]


def test_one_decorator_may_make_several_jobs():
    decorate = job(backoff=lambda error, context: 1, max_attempts=3)

    def declare(name):
        scope: dict[str, Any] = {"__name__": "decorators.several"}
        exec(f"def {name}(): ...", scope)  # noqa: S102
        return decorate(scope[name])

    one, two = declare("one"), declare("two")
    assert one.spec.backoff_function is two.spec.backoff_function is not None
    assert one.spec.options == two.spec.options


def test_a_handle_is_a_value():
    handle = note.using(priority=3, backoff=Fixed(1))
    assert handle == copy(handle) == note.using(priority=3, backoff=Fixed(1))
    assert hash(handle) == hash(copy(handle))
    assert handle != note
    with pytest.raises(AttributeError):
        handle.options = None  # type: ignore[assignment, misc]
    assert isinstance(handle, JobFunction)


def test_a_request_is_a_value_of_its_own():
    request = mail.using(priority=3).request("a@example.org", copies=2)
    assert (request.spec, request.args, request.kwargs) == (mail.spec, ("a@example.org",), {"copies": 2})
    assert request.options.priority == 3


@pytest.mark.parametrize("option", ["retry_on", "no_retry_on"])
@pytest.mark.parametrize("value", ["ValueError", ValueError(), int, [ValueError, 5], [], (), 7, True], ids=repr)
def test_what_is_no_exception_class_is_refused_where_it_is_written(option, value):
    with pytest.raises(InvalidOption, match=rf"@job of .*plain: {option} (must be|names no) exception class"):
        job(name="decorators.choosy", **{option: value})(plain)


def test_exception_classes_may_be_one_or_several_or_none():
    spec = job(name="decorators.choosy", retry_on=OSError, no_retry_on=[KeyError, ValueError])(plain).spec
    assert (spec.retry_on, spec.no_retry_on) == ((OSError,), (KeyError, ValueError))
    spec = job(name="decorators.choosy", retry_on=None)(plain).spec
    assert (spec.retry_on, spec.no_retry_on) == (None, ())


def test_a_class_that_is_to_be_retried_and_not_to_be_retried_is_refused():
    with pytest.raises(InvalidOption, match="retry_on and no_retry_on both name KeyError"):
        job(name="decorators.choosy", retry_on=(OSError, KeyError), no_retry_on=KeyError)(plain)


@pytest.mark.parametrize("option", ["retry_on", "no_retry_on", "sensitive", "takes_context", "name"])
def test_what_belongs_to_the_function_is_refused_in_a_call(option):
    with pytest.raises(InvalidOption, match=rf"samples\.note\.using\(\): the option '{option}' goes on @job alone"):
        note.using(**{option: ValueError})  # type: ignore[arg-type]


def test_a_job_is_known_by_the_names_that_it_had_before():
    @job(name="shop.mail.send", aliases=["shop.jobs.send", "shop.send_mail"])
    def send() -> None: ...

    assert [get_spec(name) for name in ("shop.jobs.send", "shop.send_mail")] == [send.spec] * 2
    assert send.name == "shop.mail.send"
    assert {"shop.mail.send", "shop.jobs.send", "shop.send_mail"} <= set(job_names())


@pytest.mark.parametrize(
    ("aliases", "complaint"),
    [
        ("shop.send", "aliases must be a list of names, not 'shop.send'. Write ['shop.send']."),
        (["no name"], "an alias must be 1 to 200 letters"),
        ([7], "not 7"),
        (["shop.send"], "the alias 'shop.send' is its name already"),
    ],
)
def test_an_alias_that_cannot_be_one_is_told(aliases, complaint):
    with pytest.raises(InvalidOption) as caught:
        job(name="shop.send", aliases=aliases)(nothing)
    assert complaint in str(caught.value)


def nothing() -> None: ...


def test_an_alias_that_another_function_has_is_told_to_go():
    job(name="shop.one")(nothing)

    def two() -> None: ...

    with pytest.raises(DuplicateJobName, match=r"The job name 'shop\.one' of .* Take it out of the aliases\."):
        job(name="shop.two", aliases=["shop.one"])(two)


def test_an_alias_goes_on_the_decorator_alone():
    with pytest.raises(InvalidOption, match="'aliases' goes on @job alone"):
        job(name="shop.three")(nothing).using(aliases=["x"])  # type: ignore[call-arg]
