"""manage.py jobqueues: list, pause, resume, drain, clean, obliterate."""

from io import StringIO

import pytest
from django.core.management import CommandError

from django_jobs.models import Job, Queue
from django_jobs.states import State
from tests import rows

pytestmark = pytest.mark.django_db


def test_list_prints_every_queue_with_its_living_jobs(run):
    rows.put(queue_name="mail")
    rows.put(State.RUNNING, queue_name="mail")
    rows.put(State.FAILED, queue_name="mail")
    Queue.objects.create(name="mail", paused=True, paused_at=rows.now())
    titles, *lines = run("jobqueues", "list").splitlines()
    assert titles == "QUEUE    STATE   READY  SCHEDULED  RUNNING  BLOCKED  OLDEST"
    assert "default  open        0          0        0        0  -" in lines
    (mail,) = [line for line in lines if line.startswith("mail ")]
    assert mail.startswith("mail     paused      1          0        1        0  1 min ")


def test_list_gives_machines_the_same_as_json(run_json):
    rows.put(queue_name="mail", run_after=rows.now() + rows.HOUR, enqueued_at=rows.now())
    counts = {"ready": 0, "scheduled": 1, "running": 0, "blocked": 0, "oldest_seconds": None}
    assert {"name": "mail", "paused": False, **counts} in run_json("jobqueues", "list")


def test_a_queue_is_paused_and_goes_on(run):
    assert run("jobqueues", "pause", "default") == "default is paused; running jobs finish.\n"
    assert Queue.objects.get(name="default").paused
    assert run("jobqueues", "pause", "default") == "default was paused already.\n"
    assert run("jobqueues", "resume", "default") == "default goes on.\n"
    assert run("jobqueues", "resume", "default") == "default was not paused.\n"
    assert not Queue.objects.get(name="default").paused


def test_machines_are_told_whether_anything_changed(run_json):
    assert run_json("jobqueues", "pause", "default") == {"name": "default", "paused": True, "changed": True}
    assert run_json("jobqueues", "pause", "default") == {"name": "default", "paused": True, "changed": False}


@pytest.mark.parametrize("verb", ["pause", "resume", "drain", "clean --state failed", "obliterate"])
def test_an_unknown_queue_is_an_error_with_a_hint(run, verb):
    with pytest.raises(CommandError, match=r"No queue is called 'defautl'. Did you mean 'default'\?"):
        run("jobqueues", *verb.split(), "defautl")
    assert not Queue.objects.exists()


def put_one_of_each():
    for state in State:
        rows.put(state, enqueued_at=rows.now() - rows.HOUR)
    rows.put(run_after=rows.now() + rows.HOUR, enqueued_at=rows.now() - rows.HOUR)


@pytest.mark.parametrize(
    ("words", "removed"),
    [
        ("drain", 1),
        ("drain --scheduled", 2),
        ("clean --state failed", 1),
        ("clean --state failed --older-than 3600", 0),
        ("clean --state scheduled --older-than 60 --limit 5", 1),
        ("obliterate --force", 7),
    ],
)
def test_a_queue_is_emptied_and_what_was_removed_is_counted(run, run_json, words, removed):
    put_one_of_each()
    assert run_json("jobqueues", *words.split(), "default", "--yes") == {"name": "default", "removed": removed}
    assert Job.objects.count() == 7 - removed
    assert run("jobqueues", *words.split(), "default", "--yes") == "0 jobs of default are removed.\n"


def test_an_obliterate_is_refused_while_jobs_run(run):
    put_one_of_each()
    with pytest.raises(CommandError, match="1 jobs of the queue 'default' run, so nothing was changed"):
        run("jobqueues", "obliterate", "default", "--yes")
    assert Job.objects.count() == 7


@pytest.mark.parametrize("words", [["drain"], ["clean", "--state", "failed"], ["obliterate"]], ids=" ".join)
def test_where_nobody_can_be_asked_to_empty_needs_a_yes(run, words, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO())
    put_one_of_each()
    with pytest.raises(CommandError, match=r"jobs of the queue default will be removed for good\..*with --yes"):
        run("jobqueues", *words, "default")
    assert Job.objects.count() == 7


@pytest.mark.parametrize("words", [["--limit", "0"], ["--older-than", "-1"]], ids=" ".join)
def test_bounds_that_are_none_are_told(run, words):
    with pytest.raises(CommandError, match=r"clean\(\)"):
        run("jobqueues", "clean", "--state", "failed", *words, "default", "--yes")
