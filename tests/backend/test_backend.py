"""What is asked of a task before it is stored, where options come from, and what nobody has to wait for."""

import subprocess
import sys
import threading
from datetime import timedelta

import django
import pytest
from asgiref.sync import async_to_sync
from django.core.checks import run_checks
from django.db import transaction
from django.utils import timezone

from django_jobs import Exponential, job
from django_jobs.backend import JobsBackend, JobTask
from django_jobs.compat import InvalidTask, InvalidTaskBackend, TaskResultStatus, task_backends, task_enqueued
from django_jobs.conf import task_aliases
from django_jobs.definitions.registry import get_spec, queue_names
from django_jobs.errors import InvalidArguments, InvalidOption
from django_jobs.models import Job
from tests.backend.recorded import RecordedBackend
from tests.bells import transport
from tests.processes import worker_environment
from tests.project import tasks
from tests.project.tasks import add, task

__all__ = ["transport"]

pytestmark = pytest.mark.django_db(transaction=True)

OURS = {"BACKEND": "django_jobs.backend.JobsBackend"}
# Django 6.0 alone keeps the decorator to itself.
decorates = pytest.mark.skipif((6, 0) <= django.VERSION < (6, 1), reason="@task takes no options on Django 6.0")


def row(result):
    return Job.objects.get(pk=result.id)


def test_a_task_is_stored_in_the_callers_transaction(transport):
    with transaction.atomic():
        add.enqueue(1, 2)
        transaction.set_rollback(True)
    assert not Job.objects.exists()
    with transaction.atomic():
        kept = add.enqueue(1, 2)
        assert transport.rung == []
    assert transport.rung == [row(kept).pk]


def test_options_of_jobs_reach_the_row():
    result = add.using(max_attempts=4, backoff=Exponential(2), timeout=9, metadata={"order": 7}).enqueue(1, 2)
    stored = row(result)
    assert (stored.max_attempts, stored.timeout, stored.metadata) == (4, 9, {"order": 7})


def test_options_of_an_alias_hold_for_its_tasks_unless_they_say_otherwise(settings):
    settings.TASKS = {"default": {**OURS, "OPTIONS": {"MAX_ATTEMPTS": 3, "timeout": 60}}}
    stored = row(add.using(timeout=5).enqueue(1, 2))
    assert (stored.max_attempts, stored.timeout) == (3, 5)


@decorates
def test_the_decorator_takes_options_of_jobs():
    declared = task(max_attempts=3, retry_on=OSError, sensitive=["first"])(add.func)
    assert row(declared.enqueue(1, 2)).max_attempts == 3
    spec = get_spec(add.module_path)
    assert spec.may_retry(OSError())
    assert not spec.may_retry(ValueError())
    assert spec.sensitive == {"first"}
    with pytest.raises(InvalidOption, match="Did you mean 'max_attempts'"):
        task(max_atempts=3)(add.func)


def test_a_misspelt_option_is_told_where_it_is_written():
    with pytest.raises(InvalidOption, match="Did you mean 'timeout'"):
        add.using(timeuot=3)


@pytest.mark.parametrize("delay", [timedelta(hours=1), 3600])
def test_a_delay_may_be_a_duration(delay):
    before = timezone.now()
    assert before + timedelta(minutes=59) < add.using(run_after=delay).run_after <= timezone.now() + timedelta(hours=1)


def test_a_key_stores_a_task_once_and_tells_of_it_once():
    told = []

    def hear(sender, task_result, **kwargs):
        told.append((sender, task_result.id))

    task_enqueued.connect(hear)
    try:
        keyed = add.using(idempotency_key="only one")
        assert (first := keyed.enqueue(1, 2)) == keyed.enqueue(1, 2)
    finally:
        task_enqueued.disconnect(hear)
    assert told == [(JobsBackend, first.id)]


@pytest.mark.parametrize(
    "value", [float("nan"), {1: "one"}, "\0", "\ud800", 2**20_000], ids=["nan", "key", "nul", "half", "huge"]
)
def test_what_json_would_change_or_a_database_refuse_is_told_to_the_caller(value):
    with pytest.raises(InvalidArguments, match=r"args\[0\]"):
        add.enqueue(value, 2)


def test_arguments_that_do_not_fit_are_told_to_the_caller():
    with pytest.raises(InvalidArguments, match="cannot be called like this"):
        add.enqueue(1)


def test_a_queue_that_no_worker_serves_is_refused(settings):
    settings.TASKS = {"default": {**OURS, "QUEUES": []}}
    with pytest.raises(InvalidTask, match=r"No queue is called 'mial'\. Did you mean 'mail'"):
        add.using(queue_name="mial").enqueue(1, 2)


def test_workers_serve_the_queues_of_our_aliases(settings):
    settings.TASKS = {
        "default": {**OURS, "QUEUES": ["ours"]},
        "other": {"BACKEND": "django_jobs.testing.DummyBackend", "QUEUES": ["theirs"]},
    }
    assert "ours" in queue_names()
    assert "theirs" not in queue_names()


def test_a_subclass_of_our_backend_is_ours_wherever_it_is_looked_for(settings):
    settings.TASKS = {
        "default": {"BACKEND": "django_jobs.testing.ImmediateBackend"},
        "gone": {"BACKEND": "no.such.Backend"},
        "own": {"BACKEND": "tests.backend.recorded.RecordedBackend", "QUEUES": ["theirs"]},
    }
    assert list(task_aliases()) == ["own"]
    assert "theirs" in queue_names()
    assert (greet.backend, type(greet.get_backend())) == ("own", RecordedBackend)


@pytest.fixture(params=["DummyBackend", "ImmediateBackend"])
def twin(request, settings):
    """Put a twin for tests in the place of our backend."""
    twin = f"django_jobs.testing.{request.param}"
    settings.TASKS = {"default": {"BACKEND": twin, "QUEUES": [], "OPTIONS": {"MAX_ATTEMPTS": 3}}}
    return task_backends["default"]


def test_a_twin_for_tests_takes_what_ours_takes(twin):
    result = add.using(timeout=9, metadata={"order": 7}, queue_name="mail").enqueue(1, 2)
    assert (result.args, result.task.queue_name) == ([1, 2], "mail")
    assert twin.check() == []
    with pytest.raises(InvalidOption, match="Did you mean 'timeout'"):
        add.using(timeuot=3)
    assert not Job.objects.exists()


@decorates
def test_a_twin_for_tests_takes_options_of_the_decorator(twin):
    assert task(max_attempts=3, retry_on=OSError)(add.func).enqueue(1, 2).args == [1, 2]


def test_a_function_is_a_job_or_a_task():
    handle = job(tasks.undeclared)
    with pytest.raises(InvalidTask, match="is a @job already"):
        task(handle.func)


def test_each_thread_has_an_instance_that_keeps_nothing():
    found = []
    thread = threading.Thread(target=lambda: found.append(task_backends["default"]))
    thread.start()
    thread.join()
    assert found[0] is not task_backends["default"]
    assert vars(found[0]).keys() == {"alias", "queues", "options", "_parameters"}


def messages(settings, **said):
    settings.TASKS = {"default": {**OURS, **said}}
    return {each.id: f"{each.msg} {each.hint or ''}" for each in run_checks() if str(each.id).startswith("django_jobs")}


def test_checks_of_the_backend_are_part_of_manage_py_check(settings):
    settings.DJANGO_JOBS = {"TRANSPORT": "database:"}
    assert messages(settings) == {}
    assert messages(settings, OPTIONS={"MAX_ATTEMPTS": 3}) == {}
    assert "Did you mean 'MAX_ATTEMPTS'" in messages(settings, OPTIONS={"MAX_ATEMPTS": 3})["django_jobs.E012"]
    assert "must be a dict" in messages(settings, OPTIONS=[1])["django_jobs.E012"]
    assert "for all tasks" in messages(settings, OPTIONS={"IDEMPOTENCY_KEY": "a"})["django_jobs.E012"]
    assert "Did you mean 'OPTIONS'" in messages(settings, OPTION={})["django_jobs.E011"]
    assert "'a b'" in messages(settings, QUEUES=["a b"])["django_jobs.E013"]


def test_options_that_cannot_work_are_told_before_a_task_is_stored(settings):
    settings.TASKS = {"default": {**OURS, "OPTIONS": {"TIMEUOT": 3}}}
    with pytest.raises(InvalidTaskBackend, match="Did you mean 'TIMEOUT'"):
        add.enqueue(1, 2)


@pytest.mark.once
def test_declaring_a_task_connects_to_nothing_and_needs_no_apps():
    program = """
import django, sys
from django.conf import settings
settings.configure(
    TASKS={"default": {"BACKEND": "django_jobs.backend.JobsBackend"}},
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/nowhere/at/all"}},
    DJANGO_JOBS={"TRANSPORT": "redis://127.0.0.1:1/0"},
    INSTALLED_APPS=["django_jobs"] + (["django_tasks"] if django.VERSION < (6, 0) else []),
    USE_TZ=True,
)
from tests.samples_of_tasks import shout
django.setup()
print(shout.call("a"), "redis" in sys.modules)
"""
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=worker_environment({}) | {"DJANGO_SETTINGS_MODULE": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.stdout, answer.stderr) == ("A False\n", "")


# A handle of @job


@job(name="backend.greet", queue_name="mail", priority=3)
def greet(name):
    return f"Hello, {name}."


@job(name="backend.greet_later")
async def greet_later(name):
    return f"Hello, {name}."


def test_a_handle_has_what_a_task_has():
    declared = {each for each in dir(JobTask) if not each.startswith("_")} - {"options"}
    assert {each for each in declared if not hasattr(greet, each)} == set()
    assert (greet.func("you"), greet.priority, greet.queue_name) == ("Hello, you.", 3, "mail")
    assert greet.takes_context is False
    assert (greet.backend, greet.get_backend()) == ("default", task_backends["default"])
    assert greet.module_path == "tests.backend.test_backend.greet"
    later = timezone.now() + timedelta(hours=1)
    assert (greet.run_after, greet.using(run_after=later).run_after) == (None, later)
    assert (greet.call("you"), greet_later.call("you")) == ("Hello, you.", "Hello, you.")


def test_a_handle_is_called_in_a_coroutine():
    assert [async_to_sync(each.acall)("you") for each in (greet, greet_later)] == ["Hello, you.", "Hello, you."]


def test_code_for_tasks_enqueues_a_handle_and_reads_it_back():
    stored = greet.enqueue("you")
    assert greet.get_result(str(stored.pk)) == stored
    assert stored.status == TaskResultStatus.READY
    result = greet.get_backend().enqueue(greet, ("you",), {})
    assert greet.get_result(result.id).args == ["you"]


WITHOUT_THE_EXTRA = """
import sys
sys.modules["django_tasks"] = None
import django
from django.conf import settings
from django.core.management import call_command
OURS = {"default": {"BACKEND": "django_jobs.backend.JobsBackend"}}
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django_jobs"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    **({"TASKS": OURS} if "tasks" in sys.argv else {}),
)
django.setup()
call_command("migrate", verbosity=0)
from django_jobs import job
from django_jobs.testing import drain
double = job(name="double")(lambda number: 2 * number)
stored = double.enqueue(21)
drain()
print(double.get_result(stored.pk).return_value)
"""


@pytest.mark.once
@pytest.mark.skipif(django.VERSION >= (6, 0), reason="Django has a Tasks framework of its own.")
def test_without_the_extra_jobs_work_and_tasks_say_what_to_install(tmp_path):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-c", WITHOUT_THE_EXTRA, *arguments],
            env=worker_environment({}),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    assert run().stdout == "42\n"
    assert "install django-durable-jobs[tasks], and add 'django_tasks'" in run("tasks").stderr
