"""manage.py jobs: what it prints for people and machines, whom it means, and how it says no."""

import os
import subprocess
import sys
from datetime import timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError

from django_jobs import remove
from django_jobs.definitions.progress import Progress, to_text
from django_jobs.management.reports import follow, spoken
from django_jobs.models import Attempt, Job, LogLine, Report, SavedData
from django_jobs.models.report import line_text
from django_jobs.states import State
from tests import rows
from tests.management.test_terminal import Terminal
from tests.samples import note

pytestmark = pytest.mark.django_db


def put_later(**fields):
    """Put a job whose time comes in an hour."""
    return rows.put(run_after=rows.now() + rows.HOUR, enqueued_at=rows.now(), **fields)


def states(*jobs):
    return [rows.fresh(job).state for job in jobs]


# list


def test_list_prints_a_table_with_the_newest_first(run):
    finished = rows.now()
    started = finished - timedelta(seconds=75)
    older = rows.put(
        State.FAILED,
        queue_name="mail",
        max_attempts=3,
        enqueued_at=finished - rows.HOUR,
        started_at=started,
        finished_at=finished,
    )
    newer = put_later()
    titles, first, second = run("jobs", "list").splitlines()
    assert titles.split() == ["ID", "STATE", "NAME", "QUEUE", "ATTEMPT", "AGE", "DURATION"]
    assert first.split()[:5] == [str(newer.pk), "scheduled", "samples.note", "default", "0/1"]
    assert first.split()[-1] == "-"
    assert second.split()[:5] == [str(older.pk), "failed", "samples.note", "mail", "1/3"]
    assert second.endswith("1 min 15 s")


def test_list_gives_machines_the_same_as_json(run_json):
    job = rows.put(State.FAILED, error="No such order.", arguments='[["secret"],{}]')
    (told,) = run_json("jobs", "list")
    assert told["id"] == str(job.pk)
    assert (told["state"], told["phase"], told["queue_name"]) == ("failed", "failed", "default")
    assert (told["attempt"], told["max_attempts"], told["error"]) == (1, 1, "No such order.")
    assert "secret" not in str(told)


def test_list_can_be_narrowed(run_json):
    rows.put()
    rows.put(State.FAILED, queue_name="mail", name="samples.mail")
    job = rows.put(State.FAILED, queue_name="mail")
    told = run_json("jobs", "list", "--state", "failed", "--queue", "mail", "--name", "samples.note")
    assert [each["id"] for each in told] == [str(job.pk)]


@pytest.mark.parametrize(("phase", "count"), [("ready", 1), ("scheduled", 2), ("retrying", 1)])
def test_list_tells_due_from_scheduled(run_json, phase, count):
    rows.put()
    put_later()
    put_later(attempt=1)
    assert len(run_json("jobs", "list", "--state", phase)) == count


def test_list_stops_at_its_limit(run_json):
    for _ in range(25):
        rows.put()
    assert len(run_json("jobs", "list")) == 20
    assert len(run_json("jobs", "list", "--limit", "3")) == 3


def test_an_empty_list_says_so(run, run_json):
    assert run("jobs", "list") == "No job matches.\n"
    assert run_json("jobs", "list") == []


# show


@pytest.fixture
def failed():
    job = rows.put(State.FAILED, arguments='[[1],{"to":"Zoë"}]', error="No such order.")
    details = {"error_class": "builtins.ValueError", "message": "No such order.", "traceback": "Traceback:\n\tline"}
    Attempt.objects.create(job=job, number=1, finished_at=rows.now(), outcome="failed", **details)
    return job


def test_show_prints_all_about_a_job(run, failed):
    told = run("jobs", "show", failed.pk)
    known = dict(line.split(":", 1) for line in told.partition("\n\n")[0].splitlines())
    assert known["id"].strip() == str(failed.pk)
    assert known["kwargs"].strip() == '{"to": "Zoë"}'
    assert known["result"].strip() == "null"
    assert "\nAttempt 1: failed, " in told
    assert "    Traceback:\n        line\n" in told


def test_show_gives_machines_the_same_as_json(run_json, failed):
    told = run_json("jobs", "show", failed.pk)
    assert (told["id"], told["args"], told["kwargs"], told["result"]) == (str(failed.pk), [1], {"to": "Zoë"}, None)
    assert told["attempts"][0]["traceback"] == "Traceback:\n\tline"


def test_what_a_job_carries_cannot_steer_the_terminal(run, run_json):
    job = rows.put(State.FAILED, error="\x1b[2J\x07\u202ered", name="a\x1bb")
    Attempt.objects.create(job=job, number=1, finished_at=rows.now(), outcome="failed", traceback="one\r\x1b]0;two\n")
    told = run("jobs", "show", job.pk) + run("jobs", "list")
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(told)
    assert r"\x1b[2J\x07\u202ered" in told


# retry, cancel, run-now


def test_retry_runs_the_jobs_again_that_are_named(run):
    jobs = [rows.put(State.FAILED), rows.put(State.SUCCESSFUL), rows.put(State.RUNNING)]
    other = rows.put(State.FAILED)
    assert run("jobs", "retry", *(job.pk for job in jobs)) == "2 of 3 jobs will run again.\n"
    assert states(*jobs, other) == ["ready", "ready", "running", "failed"]


def test_retry_of_all_that_match_means_the_failed_ones(run):
    failed, done = rows.put(State.FAILED, queue_name="mail"), rows.put(State.SUCCESSFUL, queue_name="mail")
    other = rows.put(State.FAILED)
    assert run("jobs", "retry", "--all-matching", "--queue", "mail") == "1 of 1 jobs will run again.\n"
    assert states(failed, done, other) == ["ready", "successful", "failed"]
    run("jobs", "retry", "--all-matching", "--queue", "mail", "--state", "successful")
    assert states(done) == ["ready"]


def test_cancel_keeps_the_reason(run):
    waiting, running, done = rows.put(), rows.put(State.RUNNING), rows.put(State.FAILED)
    told = run("jobs", "cancel", waiting.pk, running.pk, done.pk, "--reason", "Wrong list.")
    assert told == "2 of 3 jobs are cancelled, or asked to stop.\n"
    assert states(waiting, running, done) == ["cancelled", "running", "failed"]
    assert rows.fresh(waiting).error == "Wrong list."
    assert rows.fresh(running).cancel_requested


def test_cancel_of_all_that_match_leaves_the_others(run):
    mail, other = rows.put(queue_name="mail"), rows.put()
    run("jobs", "cancel", "--all-matching", "--queue", "mail")
    assert states(mail, other) == ["cancelled", "ready"]


def test_run_now_makes_scheduled_jobs_due(run, run_json):
    job = put_later()
    assert run("jobs", "run-now", job.pk) == "1 of 1 jobs are due now.\n"
    assert [each["id"] for each in run_json("jobs", "list", "--state", "ready")] == [str(job.pk)]


def test_verbs_tell_machines_how_many(run_json):
    jobs = [rows.put(State.FAILED), rows.put()]
    assert run_json("jobs", "retry", *(job.pk for job in jobs)) == {"moved": 1, "chosen": 2}


def test_long_work_shows_a_bar_on_the_terminal_alone(run):
    Job.objects.bulk_create([rows.new(State.FAILED) for _ in range(2001)])
    screen = Terminal()
    told = run("jobs", "retry", "--all-matching", "--state", "failed", stderr=screen)
    assert told == "2,001 of 2,001 jobs will run again.\n"
    assert [each[-16:] for each in screen.getvalue().splitlines()[-1:]] == ["] 100 % of 2,001"]
    quiet = StringIO()
    run("jobs", "cancel", "--all-matching", "--state", "ready", stderr=quiet)
    assert quiet.getvalue() == ""


# reschedule, reprioritize


def test_reschedule_gives_jobs_another_time(run, run_json):
    soon, later = put_later(), rows.put()
    assert run("jobs", "reschedule", soon.pk, "--in", "0") == "1 of 1 jobs have another time.\n"
    run("jobs", "reschedule", later.pk, "--at", "2999-01-31T08:00+01:00")
    assert [each["id"] for each in run_json("jobs", "list", "--state", "ready")] == [str(soon.pk)]
    assert rows.fresh(later).run_after.isoformat() == "2999-01-31T07:00:00+00:00"


@pytest.mark.parametrize(
    "words", [(), ("--in", "-1"), ("--in", "soon"), ("--at", "2999-01-31T08:00"), ("--at", "x"), ("--in=1", "--at=x")]
)
def test_a_time_that_is_none_moves_nothing(run, words):
    job = put_later()
    with pytest.raises(CommandError):
        run("jobs", "reschedule", job.pk, *words)
    assert rows.fresh(job).run_after == job.run_after


def test_reprioritize_moves_jobs_that_wait(run):
    job, done = rows.put(), rows.put(State.FAILED)
    assert run("jobs", "reprioritize", job.pk, done.pk, "--priority", "7") == "1 of 2 jobs have the priority 7.\n"
    assert (rows.fresh(job).priority, rows.fresh(done).priority) == (7, 0)
    with pytest.raises(CommandError, match="a whole number from -100 to 100, not 101"):
        run("jobs", "reprioritize", job.pk, "--priority", "101")


# remove


@pytest.fixture
def terminal(monkeypatch):
    """Give `terminal(answer)`: somebody who types this."""
    return lambda answer: monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))


def remain(*jobs):
    return [Job.objects.filter(pk=job.pk).exists() for job in jobs]


def test_remove_asks_first_and_says_what_will_be_gone(run, terminal):
    jobs = [rows.put(State.FAILED), rows.put(), rows.put(State.RUNNING)]
    screen = StringIO()
    terminal("yes")
    told = run("jobs", "remove", *(job.pk for job in jobs), stderr=screen)
    assert screen.getvalue().startswith("3 jobs will be removed for good, with their attempts; running ones stay. Type")
    assert told == "2 of 3 jobs are removed.\n"
    assert remain(*jobs) == [False, False, True]


def test_a_no_removes_nothing(run, terminal):
    job = rows.put(State.FAILED)
    terminal("no")
    with pytest.raises(CommandError, match="Nothing was done"):
        run("jobs", "remove", job.pk)
    assert remain(job) == [True]


def test_where_nobody_can_be_asked_remove_needs_a_yes(run_json, monkeypatch):
    job, other = rows.put(State.FAILED), rows.put()
    monkeypatch.setattr(sys, "stdin", StringIO())
    with pytest.raises(CommandError, match="with --yes"):
        run_json("jobs", "remove", "--all-matching", "--state", "failed")
    told = run_json("jobs", "remove", "--all-matching", "--state", "failed", "--yes")
    assert told == {"moved": 1, "chosen": 1}
    assert remain(job, other) == [False, True]


def test_nobody_is_asked_about_nothing(run):
    assert run("jobs", "remove", "--all-matching", "--state", "failed") == "0 of 0 jobs are removed.\n"


# No


@pytest.mark.parametrize("verb", ["retry", "cancel", "run-now", "remove"])
def test_a_verb_without_a_clear_choice_moves_nothing(run, verb):
    job = rows.put(State.FAILED)
    with pytest.raises(CommandError, match="Give the ids of jobs, or --all-matching with"):
        run("jobs", verb)
    with pytest.raises(CommandError, match="Give the ids of jobs, or --all-matching with"):
        run("jobs", verb, "--state", "failed")
    with pytest.raises(CommandError, match="needs at least one of --state, --queue, --name"):
        run("jobs", verb, "--all-matching")
    with pytest.raises(CommandError, match="not both"):
        run("jobs", verb, job.pk, "--queue", "default")
    assert states(job) == ["failed"]


@pytest.mark.parametrize("verb", ["show", "retry", "cancel", "run-now", "remove"])
def test_an_id_without_a_job_is_an_error_that_names_it(run, verb):
    gone = uuid4()
    with pytest.raises(CommandError, match=f"No job has the id {gone}. It may have been removed"):
        run("jobs", verb, gone)
    with pytest.raises(CommandError, match=r"'samples\.note' is no id of a job. Ids look like"):
        run("jobs", verb, "samples.note")


def test_one_wrong_id_among_right_ones_moves_nothing(run):
    job = rows.put(State.FAILED)
    with pytest.raises(CommandError, match="No job has the id"):
        run("jobs", "retry", job.pk, uuid4())
    assert states(job) == ["failed"]


def test_an_unknown_queue_is_an_error_with_a_hint(run):
    with pytest.raises(CommandError, match=r"No queue is called 'defautl'. Did you mean 'default'\? Known are: "):
        run("jobs", "list", "--queue", "defautl")


def test_a_queue_that_nobody_declares_but_holds_jobs_is_known(run_json):
    rows.put(queue_name="forgotten")
    assert len(run_json("jobs", "list", "--queue", "forgotten")) == 1


@pytest.mark.parametrize(
    "words", [("list", "--state", "flying"), ("list", "--limit", "0"), ("list", "--limit", "x"), ()]
)
def test_what_cannot_be_meant_is_refused(run, words):
    with pytest.raises(CommandError):
        run("jobs", *words)


def test_the_shell_gets_status_one_and_no_traceback(tmp_path):
    others = {"DJANGO_JOBS_TEST_MARIADB", "DJANGO_JOBS_TEST_POSTGRESQL"}  # Django's checks would look into them
    environment = {name: value for name, value in os.environ.items() if name not in others}
    environment["DJANGO_JOBS_TEST_DATABASE"] = f"sqlite://{tmp_path}/empty.sqlite3"
    line = [sys.executable, "-m", "django", "jobs", "show", "nonsense", "--settings", "tests.settings"]
    result = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith("CommandError: 'nonsense' is no id of a job.")
    assert result.stdout == ""


def test_jobs_are_listed_by_metadata_and_by_error(run_json):
    mine = note.using(metadata={"customer": 42}).enqueue()
    failed = rows.put(State.FAILED)
    Attempt.objects.create(job=failed, number=1, finished_at=rows.now(), outcome="failed", error_class="x.Error")
    assert [each["id"] for each in run_json("jobs", "list", "--metadata", "customer=42")] == [str(mine.pk)]
    assert run_json("jobs", "list", "--metadata", "customer=42", "--metadata", "plan=gold") == []
    assert [each["id"] for each in run_json("jobs", "list", "--error", "x.Error")] == [str(failed.pk)]
    assert run_json("jobs", "show", mine.pk)["metadata"] == {"customer": 42}


@pytest.mark.parametrize("fact", ["customer", "=42", "a b=1"])
def test_a_fact_that_is_none_is_told(run, fact):
    with pytest.raises(CommandError, match="must look like customer=42"):
        run("jobs", "list", "--metadata", fact)


# what a job says


@pytest.fixture
def talking():
    job = rows.put(State.RUNNING)
    say(job, *(f"line {number}" for number in range(30)), dropped=5, progress=Progress(1, 4, "\x1b[2Jloading"))
    SavedData.objects.create(job=job, fence=1, text='{"page":3}')
    return job


def say(job, *texts, dropped=0, progress=None):
    log = "\n".join(line_text(LogLine(1, rows.now(), text)) for text in texts)
    words = {"log_text": log, "dropped": dropped, "progress_text": to_text(progress) if progress else ""}
    Report.objects.update_or_create(job=job, defaults={"fence": job.fence, **words})


def test_show_prints_progress_data_and_the_end_of_the_log(run, talking):
    told = run("jobs", "show", talking.pk)
    assert r"25 %, 1 of 4 \x1b[2Jloading" in told
    assert '{"page": 3}' in told
    assert "Log, the last 10 lines" in told
    assert "[1] line 20\n" in told
    assert "line 19" not in told
    assert "\x1b" not in told


def test_show_gives_machines_the_whole_log(run_json, talking):
    told = run_json("jobs", "show", talking.pk)
    assert told["progress"] == {"current": 1, "total": 4, "message": "\x1b[2Jloading"}
    assert [line["text"] for line in told["log"]] == [f"line {number}" for number in range(30)]
    assert told["data"] == {"page": 3}


def test_tail_tells_each_line_once_until_the_job_has_ended(talking):
    later = [
        lambda: say(talking, "line 29", "line 30", dropped=34, progress=Progress(2, 4)),
        lambda: say(talking, "line 32", dropped=37, progress=Progress(2, 4)),  # one came and went unseen
        lambda: Job.objects.filter(pk=talking.pk).update(state=State.FAILED),
    ]
    told = [spoken(each) for each in follow(talking.pk, lambda seconds: later.pop(0)())]
    assert [each.partition("] ")[2] for each in told if "] line" in each] == [
        *(f"line {number}" for number in range(20, 31)),
        "line 32",
    ]
    assert [each for each in told if "line" not in each] == [
        r"25 %, 1 of 4 \x1b[2Jloading",
        "50 %, 2 of 4",
        "The job has ended: failed.",
    ]


def test_tail_of_a_job_that_has_ended_tells_its_end(run, run_json):
    job = rows.put(State.SUCCESSFUL)
    say(job, "only line")
    told = run("jobs", "tail", job.pk)
    assert told.endswith("[1] only line\nThe job has ended: successful.\n")
    with pytest.raises(CommandError, match="No job has the id"):
        run("jobs", "tail", uuid4())


def test_tail_of_a_job_that_is_removed_ends():
    job = rows.put()
    told = [spoken(each) for each in follow(job.pk, lambda seconds: remove(job))]
    assert told == ["The job was removed."]
