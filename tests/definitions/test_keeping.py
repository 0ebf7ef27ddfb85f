"""How long jobs are kept: what may be written where, and which word counts."""

from datetime import timedelta

import pytest

from django_jobs import Keep, job
from django_jobs.conf import get_settings
from django_jobs.definitions.keeping import FOR_EVER, UNCOUNTED, StoredKeep, kept_by_settings
from django_jobs.definitions.requests import resolve
from django_jobs.errors import InvalidOption

DAY = 24 * 3600


def stored(function, **using):
    return resolve(function.using(**using).request()).keep


@pytest.fixture
def plain():
    @job(name="keeping.plain")
    def plain(): ...

    return plain


def test_where_nobody_says_anything_the_settings_decide_when_the_job_ends(plain):
    assert stored(plain) is None
    rules = kept_by_settings(get_settings())
    assert (rules.successful, rules.failed) == (Keep(7 * DAY), Keep(90 * DAY))


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (60, StoredKeep(60, 60, None, None)),
        (1.5, StoredKeep(2, 2, None, None)),
        (0, StoredKeep(0, 0, None, None)),
        (timedelta(days=1), StoredKeep(DAY, DAY, None, None)),
        (Keep(), StoredKeep(FOR_EVER, FOR_EVER, None, None)),
        (Keep(count=5), StoredKeep(FOR_EVER, FOR_EVER, 5, 5)),
        (Keep(60, 0), StoredKeep(60, 60, 0, 0)),
        ({"failed": 60}, StoredKeep(None, 60, None, None)),
        ({"successful": None}, StoredKeep(FOR_EVER, None, None, None)),
        ({"successful": Keep(60, 5), "failed": 60}, StoredKeep(60, 60, 5, UNCOUNTED)),
        ({}, None),
        (None, None),
    ],
    ids=str,
)
def test_a_rule_may_be_written_in_many_ways(plain, keep, expected):
    assert stored(plain, keep=keep) == expected


@pytest.mark.parametrize(
    "keep", ["a day", True, -1, [60], {"succesful": 60}, {"cancelled": 60}, {"failed": "x"}, float("nan")], ids=repr
)
def test_a_rule_that_is_none_is_told(plain, keep):
    with pytest.raises(InvalidOption, match=r"keeping.plain.using\(\): keep"):
        plain.using(keep=keep)


@pytest.mark.parametrize("count", [-1, 1.0, True, "5", 2**31])
def test_a_count_that_is_none_is_told(count):
    with pytest.raises(InvalidOption, match="count of Keep"):
        Keep(count=count)


def test_the_call_counts_before_the_function_and_that_before_the_queue_and_the_settings(settings, plain):
    @job(name="keeping.fussy", keep=2)
    def fussy(): ...

    keep = {"successful": timedelta(days=1)}
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "QUEUES": {"default": {"KEEP": 3}}, "KEEP": keep}
    assert stored(fussy, keep=1) == StoredKeep(1, 1, None, None)
    assert stored(fussy) == StoredKeep(2, 2, None, None)
    assert stored(plain) == StoredKeep(3, 3, None, None)
    assert kept_by_settings(get_settings()).failed == Keep(90 * DAY)


def test_a_count_in_the_settings_holds_for_every_job(settings, plain):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "KEEP": {"failed": Keep(count=9)}}
    assert stored(plain) == StoredKeep(None, None, UNCOUNTED, 9)
    assert stored(plain, keep=60) == StoredKeep(60, 60, None, None)


@pytest.mark.parametrize("keep", [7, {"succeeded": 7}, {"failed": "a week"}], ids=repr)
def test_settings_that_cannot_work_are_told(settings, keep):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "KEEP": keep}
    with pytest.raises(InvalidOption, match="KEEP"):
        kept_by_settings(get_settings())
