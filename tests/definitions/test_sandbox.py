"""What @job(sandbox=...) takes, and what the settings add."""

from datetime import timedelta

import pytest

from django_jobs import Sandbox, job
from django_jobs.conf import get_settings
from django_jobs.definitions.sandbox import Limits, limits_of
from django_jobs.errors import ConfigurationError, InvalidOption


def body() -> None: ...


@pytest.mark.parametrize(
    ("said", "kept"),
    [(True, Sandbox()), (False, None), (Sandbox(max_jobs=1), Sandbox(max_jobs=1))],
    ids=["True", "False", "limits"],
)
def test_a_job_runs_in_a_sandbox_when_it_asks_for_one(said, kept):
    assert job(name="sandbox.body", sandbox=said)(body).spec.sandbox == kept


@pytest.mark.parametrize("said", [1, "yes", None, {"memory_megabytes": 5}], ids=repr)
def test_what_is_no_sandbox_is_refused_at_import(said):
    with pytest.raises(InvalidOption) as caught:
        job(name="sandbox.body", sandbox=said)(body)
    assert str(caught.value) == (
        f"@job of tests.definitions.test_sandbox.body: sandbox must be True, False or Sandbox(...), not {said!r}."
    )


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"memory_megabytes": 0}, "The memory_megabytes of Sandbox must be a whole number from 1 on, not 0."),
        ({"memory_megabytes": "1G"}, "The memory_megabytes of Sandbox must be a whole number from 1 on, not '1G'."),
        ({"max_jobs": True}, "The max_jobs of Sandbox must be a whole number from 1 on, not True."),
        ({"grace_seconds": "5"}, "The grace_seconds of Sandbox must be seconds or a timedelta, not '5'."),
        ({"grace_seconds": -1}, "The grace_seconds of Sandbox must be a duration from 0 seconds"),
    ],
    ids=str,
)
def test_a_limit_that_cannot_work_is_refused_where_it_is_written(limits, message):
    with pytest.raises(InvalidOption) as caught:
        Sandbox(**limits)
    assert str(caught.value).startswith(message)


def test_a_sandbox_goes_on_the_decorator_alone():
    with pytest.raises(InvalidOption, match=r"the option 'sandbox' goes on @job alone"):
        job(name="sandbox.body")(body).using(sandbox=True)  # type: ignore[call-arg]


def test_what_a_job_leaves_out_is_as_the_settings_say(settings):
    settings.DJANGO_JOBS = {"SANDBOX_MEMORY_MEGABYTES": 512, "SANDBOX_MAX_JOBS": 7, "SANDBOX_GRACE_SECONDS": 2}
    assert limits_of(Sandbox(), get_settings()) == Limits(memory_megabytes=512, max_jobs=7, grace_seconds=2)
    said = Sandbox(memory_megabytes=64, max_jobs=1, grace_seconds=timedelta(seconds=9))
    assert limits_of(said, get_settings()) == Limits(memory_megabytes=64, max_jobs=1, grace_seconds=9)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SANDBOX_MEMORY_MEGABYTES", 0),
        ("SANDBOX_MEMORY_MEGABYTES", 1.5),
        ("SANDBOX_MAX_JOBS", 0),
        ("SANDBOX_MAX_SECONDS", 0),
        ("SANDBOX_GRACE_SECONDS", -1),
    ],
)
def test_a_setting_that_cannot_work_is_named(settings, name, value):
    settings.DJANGO_JOBS = {name: value}
    with pytest.raises(ConfigurationError, match=rf"DJANGO_JOBS\['{name}'\] must be .* not {value!r}\."):
        get_settings()
