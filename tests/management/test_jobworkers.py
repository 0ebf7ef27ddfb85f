"""manage.py jobworkers: who lives, who is silent, who stopped or died; and what people ask of them."""

from datetime import timedelta

import pytest
from django.core.management import CommandError

from django_jobs.management.commands import jobworkers as command
from django_jobs.models import Worker
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
    assert titles.split()[:8] == ["ID", "HOST", "PID", "STATE", "VERSION", "QUEUES", "CONCURRENCY", "RUNNING"]
    assert line.startswith(f"{worker.hex[-8:]}  web1  4711  alive  0.1      mail, default            8        2  ")
    assert line.endswith(" ago")


def test_a_worker_that_was_given_no_queues_serves_all(run):
    rows.worker()
    assert run("jobworkers", "list").splitlines()[1].split()[5] == "all"


def test_a_worker_that_does_not_beat_is_silent(run):
    rows.worker(beat_at=ago(90))
    line = run("jobworkers", "list").splitlines()[1]
    assert line.split()[3] == "silent"
    assert "1 min 3" in line


def test_who_takes_by_hand_says_so(run):
    rows.worker(supervisor_pid=0, host="here")
    rows.worker(supervisor_pid=0, dead_at=ago(3600))
    _, holds, held = run("jobworkers", "list", "--dead").splitlines()
    assert "  alive, by hand  " in holds
    assert "  stopped 1 h 0 min ago, by hand  " in held


def test_the_dead_are_listed_after_the_living_and_only_when_asked_for(run):
    rows.worker(host="died", dead_at=ago(7200), died=True)
    rows.worker(host="stopped", dead_at=ago(3600))
    rows.worker(host="lives")
    assert len(run("jobworkers", "list").splitlines()) == 2
    lines = run("jobworkers", "list", "--dead").splitlines()[1:]
    assert [line.split()[1] for line in lines] == ["lives", "stopped", "died"]
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


def living(**fields):
    """Put a worker that a supervisor beats for."""
    return rows.worker(supervisor_pid=1, **fields)


def asked(worker):
    return Worker.objects.values_list("quiet", "asked_to", "concurrency").get(pk=worker)


def test_workers_are_told_by_their_ids_as_the_list_shows_them(run):
    first, second, other = living(), living(), living()
    assert run("jobworkers", "quiet", first.hex[-8:], str(second)) == "Take nothing new: 2 of 2 workers.\n"
    assert [asked(each)[0] for each in (first, second, other)] == [True, True, False]
    assert run("jobworkers", "quiet", first) == "Take nothing new: 0 of 1 workers. They had been told before.\n"
    assert run("jobworkers", "resume", "--all") == "Take jobs again: 2 of 3 workers.\n"
    assert not Worker.objects.filter(quiet=True).exists()


def test_a_worker_is_told_by_its_host_and_process_as_well(run):
    worker = living(host="web1", pid=4711)
    run("jobworkers", "restart", "web1:4711")
    assert asked(worker) == (False, "restart", 1)


def test_another_concurrency_is_told(run):
    worker, other = living(), living()
    assert run("jobworkers", "concurrency", "7", worker).endswith(": 1 of 1 workers.\n")
    assert (asked(worker)[2], asked(other)[2]) == (7, 1)


@pytest.mark.parametrize("number", ["0", "1001"])
def test_a_concurrency_that_no_worker_can_have_is_refused(run, number):
    living()
    with pytest.raises(CommandError, match=f"a whole number from 1 to 1000, not {number}"):
        run("jobworkers", "concurrency", number, "--all")


def test_one_worker_stops_without_a_question_and_all_only_after_one(run):
    first, second = living(), living()
    run("jobworkers", "stop", first)
    assert [asked(each)[1] for each in (first, second)] == ["stop", ""]
    with pytest.raises(CommandError, match="All 2 workers will stop"):
        run("jobworkers", "stop", "--all")
    run("jobworkers", "stop", "--all", "--yes")
    assert asked(second)[1] == "stop"


def test_what_was_asked_of_a_worker_is_listed(run):
    living(host="quiet", quiet=True), living(host="stops", asked_to="stop"), living(host="fresh", asked_to="restart")
    lines = run("jobworkers", "list").splitlines()[1:]
    assert [" ".join(line.split()[i] for i in (1, 3, 4)) for line in lines] == [
        "fresh alive, restarting",
        "quiet alive, quiet",
        "stops alive, stopping",
    ]


def test_machines_are_told_who_was_meant_and_how_many_have_changed(run_json):
    worker = living()
    assert run_json("jobworkers", "quiet", "--all") == {"workers": [str(worker)], "changed": 1}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "Give the ids of workers, or --all"),
        (["--all", "abc"], "not both"),
        (["nobody"], "No living worker has an id like 'nobody', or is called so. There are: "),
        (["-"], "No living worker has an id like '-'"),
    ],
)
def test_who_is_meant_must_be_clear(run, words, complaint):
    living()
    with pytest.raises(CommandError) as caught:
        run("jobworkers", "quiet", "--", *words) if words == ["-"] else run("jobworkers", "quiet", *words)
    assert complaint in str(caught.value)


def test_a_text_that_means_several_workers_means_none(run):
    ids = [living() for _ in range(2)]
    common = next(length for length in range(1, 32) if ids[0].hex[:length] != ids[1].hex[:length]) - 1
    with pytest.raises(CommandError, match="means 2 workers"):
        run("jobworkers", "quiet", ids[0].hex[:common])


def test_those_who_do_not_live_and_programs_that_hold_one_job_hear_nothing(run):
    rows.worker(supervisor_pid=0), living(dead_at=ago(5))
    with pytest.raises(CommandError, match="No worker is alive that could hear it"):
        run("jobworkers", "quiet", "--all")
