"""What bodies say reaches the database now and then and at their end, is bounded, and never overwrites newer words."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection

from django_jobs import remove, retry
from django_jobs.definitions.outcomes import Failed, GivenBack, Retried, Snoozed, Stopped, Succeeded
from django_jobs.definitions.progress import Progress
from django_jobs.errors import InvalidArguments, PayloadTooLarge
from django_jobs.lifecycle import reporting
from django_jobs.lifecycle.reporting import REST_SECONDS, Notes, write_due
from django_jobs.lifecycle.settling import settle
from django_jobs.models import Report
from django_jobs.states import State
from django_jobs.transitions.reports import keep_reports
from tests.rows import ERROR, claim_one, ended, fresh, running, take_away
from tests.threads import together

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_said_yet():
    reporting._new.clear()
    yield
    reporting._new.clear()


def texts(job):
    return [line.text for line in fresh(job).log]


def rest(moved_clock):
    moved_clock.seconds += REST_SECONDS


def test_a_job_that_says_nothing_costs_no_statement(django_assert_num_queries):
    job, claim = running()
    Notes(claim)
    with django_assert_num_queries(0):
        write_due("default")
    settle("default", [ended(claim, Succeeded())])
    assert not Report.objects.exists()
    assert (fresh(job).progress, fresh(job).log, fresh(job).data) == (None, [], {})


def test_progress_is_seen_while_the_body_runs_at_first_at_once(moved_clock):
    job, claim = running()
    notes = Notes(claim)
    notes.progress(1, 4, "first")
    write_due("default")
    assert fresh(job).progress == Progress(1, 4, "first")
    notes.progress(2, 4, "")
    write_due("default")
    assert fresh(job).progress == Progress(1, 4, "first")
    rest(moved_clock)
    write_due("default")
    assert fresh(job).progress == Progress(2, 4, "")


def test_many_calls_are_few_writes(moved_clock, django_assert_max_num_queries):
    job, claim = running()
    notes = Notes(claim)
    writes = []

    def count(execute, sql, parameters, many, context):
        if sql.startswith("INSERT"):
            writes.append(sql)
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(count):
        for number in range(100_000):
            moved_clock.seconds += 0.001
            notes.progress(number + 1, 100_000, "")
            if number % 100 == 0:  # so often the recorder looks
                write_due("default")
        settle("default", [ended(claim, Succeeded())])
    assert 30 < len(writes) < 50
    assert fresh(job).progress == Progress(100_000, 100_000, "")


def test_what_nothing_was_added_to_is_not_written_again(moved_clock, django_assert_num_queries):
    _, claim = running()
    Notes(claim).log("once")
    write_due("default")
    rest(moved_clock)
    with django_assert_num_queries(0):
        write_due("default")


def test_all_that_is_due_is_written_together(django_assert_max_num_queries):
    jobs = [running() for _ in range(10)]
    for number, (_, claim) in enumerate(jobs):
        Notes(claim).progress(number, None, "")
    with django_assert_max_num_queries(2 + 2):  # and a savepoint, or a transaction
        write_due("default")
    assert [fresh(job).progress for job, _ in jobs] == [Progress(number) for number in range(10)]


@pytest.mark.parametrize(
    "outcome",
    [Succeeded("1"), Failed(ERROR), Retried(ERROR, 60), Snoozed(60), Stopped("no"), GivenBack(begun=True)],
    ids=lambda outcome: type(outcome).__name__,
)
def test_the_last_words_are_written_with_the_outcome_whatever_it_is(outcome, moved_clock):
    job, claim = running()
    notes = Notes(claim)
    notes.progress(1, 2, "")
    write_due("default")
    notes.progress(2, 2, "done")
    notes.log("the end")
    settle("default", [ended(claim, outcome)])
    assert fresh(job).progress == Progress(2, 2, "done")
    assert texts(job) == ["the end"]


def test_the_last_words_of_a_batch_are_one_statement(moved_clock):
    batch = [running() for _ in range(5)]
    for _, claim in batch:
        Notes(claim).log("said")
    statements = []

    def keep(execute, sql, parameters, many, context):
        statements.append(sql)
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(keep):
        settle("default", [ended(claim, Succeeded()) for _, claim in batch])
    assert len([sql for sql in statements if "report" in sql]) == 1
    assert [texts(job) for job, _ in batch] == [["said"]] * 5


def test_the_log_of_earlier_attempts_stays_and_the_progress_begins_anew():
    job, claim = running(max_attempts=3)
    first = Notes(claim)
    first.progress(7, 9, "")
    first.log("first")
    settle("default", [ended(claim, Retried(ERROR, 0))])
    assert fresh(job).progress == Progress(7, 9)  # between two attempts: how far the last one came
    second = Notes(claim_one(fresh(job)))
    assert fresh(job).progress is None
    second.log("second\nand more")
    write_due("default")
    assert fresh(job).progress is None
    assert [(line.attempt, line.text) for line in fresh(job).log] == [(1, "first"), (2, "second"), (2, "and more")]


def test_a_later_attempt_that_logs_nothing_keeps_the_log():
    job, claim = running(max_attempts=2)
    Notes(claim).log("first")
    settle("default", [ended(claim, Retried(ERROR, 0))])
    Notes(claim_one(fresh(job))).progress(1, None, "")
    write_due("default")
    assert texts(job) == ["first"]
    assert fresh(job).progress == Progress(1)


def test_log_lines_tell_when_they_were_logged(moved_clock):
    job, claim = running()
    notes = Notes(claim)
    notes.log("a")
    moved_clock.seconds += 1.25
    notes.log("b")
    write_due("default")
    first, second = fresh(job).log
    assert first.logged_at == moved_clock.now() - timedelta(seconds=1.25)
    assert second.logged_at == moved_clock.now()


# Bounds


def test_of_a_long_log_the_newest_lines_are_kept_and_the_others_counted(settings, moved_clock):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_LOG_LINES": 10}
    job, claim = running(max_attempts=2)
    notes = Notes(claim)
    for number in range(25):
        notes.log(number)
    settle("default", [ended(claim, Retried(ERROR, 0))])
    assert texts(job) == [str(number) for number in range(15, 25)]
    assert fresh(job).report.dropped == 15
    again = Notes(claim_one(fresh(job)))
    for number in range(25, 28):
        again.log(number)
    write_due("default")
    assert texts(job) == [str(number) for number in range(18, 28)]
    assert fresh(job).report.dropped == 18


@pytest.mark.parametrize("letter", ["x", "é", "😀"])
def test_a_log_takes_no_more_bytes_than_allowed(settings, letter):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_LOG_BYTES": 1000}
    job, claim = running()
    notes = Notes(claim)
    for _ in range(100):
        notes.log(letter * 50)
    notes.log(letter * 100_000)  # alone larger than all that is allowed
    write_due("default")
    assert 0 < len(fresh(job).report.log_text.encode()) <= 1000 + 250 * len(letter.encode())
    assert fresh(job).report.dropped > 90


def test_a_huge_text_is_cut_in_its_middle():
    job, claim = running()
    Notes(claim).log("a" * 1_000_000 + "z")
    write_due("default")
    first, cut, last = texts(job)
    assert first.startswith("aaa")
    assert cut == "[... cut ...]"
    assert last.endswith("z")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("a\tb", ["a\tb"]),
        ("a\r\nb\rc\n", ["a", "b", "c"]),
        ("a\u2028b\x0bc\x1cd", ["a", "b", "c", "d"]),
        ("nul\0 \ud800", ["nul\\x00 \\ud800"]),
        (ValueError("no such order"), ["no such order"]),
        ({"a": 1}, ["{'a': 1}"]),
    ],
    ids=ascii,
)
def test_any_text_can_be_logged(text, lines):
    job, claim = running()
    Notes(claim).log(text)
    write_due("default")
    assert texts(job) == lines


# Values


@pytest.mark.parametrize(
    "given",
    [
        (0, 0, ""),
        (-3, None, ""),
        (2.5, 10, ""),
        (1, 2.5, "half"),
        ({"phase": "load", "files": [1]}, None, ""),
        ("x", None, ""),
    ],
    ids=repr,
)
def test_progress_is_a_number_or_a_structure(given):
    job, claim = running()
    Notes(claim).progress(*given)
    write_due("default")
    assert fresh(job).progress == Progress(*given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((float("nan"), None, ""), "progress is nan, which JSON does not know"),
        ((None, None, ""), "needs a number or a structure, not None"),
        (({1: 2}, None, ""), "progress has the key 1, but JSON keys are text"),
        ((10**5000, None, ""), "progress is a whole number of 16,610 bits"),
        ((b"x", None, ""), "cannot travel as JSON"),
        ((1, float("inf"), ""), "total of progress.. must be a number from 0 on, not inf"),
        ((1, float("nan"), ""), "must be a number from 0 on, not nan"),
        ((1, -1, ""), "must be a number from 0 on, not -1"),
        ((1, "2", ""), "must be a number from 0 on, not '2'"),
        ((1, True, ""), "must be a number from 0 on, not True"),
        ((1, 10**5000, ""), "must be a number from 0 on, not <int>"),
    ],
)
def test_what_is_no_progress_is_told_where_it_is_said(given, message):
    _, claim = running()
    with pytest.raises(InvalidArguments, match=message):
        Notes(claim).progress(*given)


def test_a_large_structure_is_no_progress():
    _, claim = running()
    with pytest.raises(PayloadTooLarge, match="The progress takes 5,002 bytes as JSON, and 4,096 are allowed"):
        Notes(claim).progress("x" * 5000, None, "")


def test_a_structure_is_written_as_it_was_when_it_was_said():
    job, claim = running()
    files = ["a"]
    Notes(claim).progress(files, None, "")
    files.append("b")
    write_due("default")
    assert fresh(job).progress == Progress(["a"])


@pytest.mark.parametrize(
    ("progress", "fraction"),
    [
        ((1, 4), 0.25),
        ((9, 4), 1.0),
        ((-1, 4), 0.0),
        ((0, 0), None),
        ((1, None), None),
        (("x", 4), None),
        ((True, 4), None),
    ],
    ids=repr,
)
def test_a_progress_with_a_total_tells_a_fraction(progress, fraction):
    assert Progress(*progress).fraction == fraction


# Whose words count


def taken_over(job, claim):
    """Take a running job away from its worker, and return the claim of another."""
    take_away(claim)
    return claim_one(fresh(job))


def test_who_lost_the_job_changes_nothing_of_what_the_new_attempt_said(moved_clock):
    job, claim = running()
    zombie, new = Notes(claim), Notes(taken_over(job, claim))
    new.log("new")
    new.progress(1, None, "new")
    write_due("default")
    zombie.log("old")
    zombie.progress(99, None, "old")
    write_due("default")
    settle("default", [ended(claim, Succeeded("99"))])
    assert texts(job) == ["new"]
    assert fresh(job).progress == Progress(1, None, "new")


def test_who_lost_the_job_says_nothing_even_before_the_new_attempt_does(moved_clock, django_assert_num_queries):
    job, claim = running()
    zombie = Notes(claim)
    taken_over(job, claim)
    zombie.log("old")
    write_due("default")
    assert not Report.objects.exists()
    rest(moved_clock)
    zombie.log("still here")
    with django_assert_num_queries(0):
        write_due("default")


@pytest.mark.django_db(transaction=True)
def test_a_pause_between_looking_and_writing_overwrites_nothing_newer():
    """The guard is in the statement that writes, too."""
    job, claim = running()
    old, new = Notes(claim), Notes(taken_over(job, claim))
    old.log("old")
    row = old.row()
    new.log("new")
    write_due("default")
    keep_reports("default", [row])
    assert texts(job) == ["new"]


def test_words_about_a_job_that_is_gone_leave_nothing_behind():
    job, claim = running()
    notes = Notes(claim)
    notes.log("a")
    settle("default", [ended(claim, Succeeded())])
    remove(job)
    notes.log("b")
    notes._next_write = 0.0
    write_due("default")
    assert not Report.objects.exists()


def test_a_job_that_is_retried_by_hand_keeps_its_log():
    job, claim = running()
    Notes(claim).log("first")
    settle("default", [ended(claim, Failed(ERROR))])
    retry(job)
    assert texts(job) == ["first"]


# Failures


def test_what_could_not_be_written_is_written_later(moved_clock):
    job, claim = running()
    notes = Notes(claim)
    notes.log("kept")

    def refuse(execute, sql, parameters, many, context):
        raise DatabaseError("away")

    with connection.execute_wrapper(refuse), pytest.raises(DatabaseError):
        write_due("default")
    rest(moved_clock)
    write_due("default")
    assert texts(job) == ["kept"]


@pytest.mark.django_db(transaction=True)
def test_words_that_the_database_refuses_cost_no_outcome(monkeypatch):
    first, second = running(), running()
    for job, claim in (first, second):
        Notes(claim).log(str(job.pk))

    def refuse(execute, sql, parameters, many, context):
        if "report" in sql and any(str(first[0].pk) in str(each) for each in parameters or ()):
            raise DatabaseError("No such thing.")
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(refuse):
        settle("default", [ended(claim, Succeeded("1")) for _, claim in (first, second)])
    assert fresh(first[0]).state == State.FAILED  # an error note stands for what cannot be written
    assert fresh(second[0]).state == State.SUCCESSFUL
    assert texts(second[0]) == [str(second[0].pk)]


@pytest.mark.django_db(transaction=True)
def test_a_body_may_log_from_many_threads_while_it_is_written(moved_clock):
    job, claim = running()
    notes = Notes(claim)

    def act(number, barrier):
        for line in range(50):
            if number:
                notes.log(f"{number}:{line}")
            else:
                moved_clock.seconds += REST_SECONDS
                write_due("default")

    together(4, act)
    settle("default", [ended(claim, Succeeded())])
    assert sorted(texts(job)) == sorted(f"{number}:{line}" for number in (1, 2, 3) for line in range(50))
