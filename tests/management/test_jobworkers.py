"""manage.py jobworkers: who lives, who is silent, who stopped or died."""

from datetime import timedelta

import pytest
from django.core.management import CommandError

from django_jobs.management.commands import jobworkers as command
from django_jobs.states import State
from tests import rows

pytestmark = pytest.mark.django_db


def ago(seconds):
    return rows.now() - timedelta(seconds=seconds)


def test_list_prints_a_worker_with_what_it_has_in_hand(run):
    worker = rows.worker(host="web1", pid=4711, version="0.1", queues=["mail", "default"], concurrency=8)
    rows.put(State.RUNNING, owner=worker)
    rows.put(State.RUNNING, owner=worker)
    rows.put(State.RUNNING)
    titles, line = run("jobworkers", "list").splitlines()
    assert titles.split("  ")[0] == "HOST"
    assert titles.split()[:7] == ["HOST", "PID", "STATE", "VERSION", "QUEUES", "CONCURRENCY", "RUNNING"]
    assert line.startswith("web1  4711  alive  0.1      mail, default            8        2  ")
    assert line.endswith(" ago")


def test_a_worker_that_was_given_no_queues_serves_all(run):
    rows.worker()
    assert run("jobworkers", "list").splitlines()[1].split()[4] == "all"


def test_a_worker_that_does_not_beat_is_silent(run):
    rows.worker(beat_at=ago(90))
    line = run("jobworkers", "list").splitlines()[1]
    assert line.split()[2] == "silent"
    assert "1 min 3" in line


def test_the_dead_are_listed_after_the_living_and_only_when_asked_for(run):
    rows.worker(host="died", dead_at=ago(7200), died=True)
    rows.worker(host="stopped", dead_at=ago(3600))
    rows.worker(host="lives")
    assert len(run("jobworkers", "list").splitlines()) == 2
    lines = run("jobworkers", "list", "--dead").splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["lives", "stopped", "died"]
    assert "  stopped 1 h 0 min ago  " in lines[1]
    assert "  dead 2 h 0 min ago  " in lines[2]


def test_of_the_dead_only_the_last_are_listed(run_json, monkeypatch):
    monkeypatch.setattr(command, "MOST_DEAD", 2)
    for seconds in (30, 10, 20):
        rows.worker(pid=seconds, dead_at=ago(seconds))
    assert [each["pid"] for each in run_json("jobworkers", "list", "--dead")] == [10, 20]


def test_list_gives_machines_the_same_as_json(run_json):
    worker = rows.worker(host="web1", queues=["mail"])
    rows.put(State.RUNNING, owner=worker)
    (told,) = run_json("jobworkers", "list")
    assert (told["id"], told["host"], told["state"], told["queues"], told["running"]) == (
        *(str(worker), "web1", "alive", ["mail"]),
        1,
    )


def test_where_nobody_works_it_says_what_to_do(run, run_json):
    assert run("jobworkers", "list") == "No worker is alive. Start one: manage.py runworkers\n"
    assert run_json("jobworkers", "list") == []


def test_what_it_cannot_do_yet_is_refused(run):
    with pytest.raises(CommandError, match="invalid choice: 'stop'"):
        run("jobworkers", "stop")
