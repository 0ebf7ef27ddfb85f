"""How long a failed job waits before its next attempt."""

from datetime import timedelta
from statistics import mean

import pytest

from django_jobs import Exponential, Fixed
from django_jobs.definitions.retries import LONGEST_SECONDS, from_text, to_text
from django_jobs.errors import InvalidOption


def test_a_fixed_backoff_waits_the_same_time():
    assert [Fixed(2.5).delay_seconds(attempt) for attempt in (1, 2, 99)] == [2.5] * 3
    assert Fixed(timedelta(minutes=1)) == Fixed(60)


def test_an_exponential_backoff_grows_up_to_its_maximum():
    assert [Exponential(2, maximum=10).delay_seconds(attempt) for attempt in (1, 2, 3, 4, 5)] == [2, 4, 8, 10, 10]
    assert [Exponential(1, factor=3).delay_seconds(attempt) for attempt in (1, 2, 3)] == [1, 3, 9]
    assert Exponential(timedelta(seconds=2), maximum=timedelta(seconds=10)) == Exponential(2, maximum=10)


@pytest.mark.parametrize("attempt", [64, 1000, 32_000])
@pytest.mark.parametrize("backoff", [Exponential(2), Exponential(0.001, factor=1000), Exponential(1e10)])
def test_no_attempt_waits_longer_than_a_year(backoff, attempt):
    assert backoff.delay_seconds(attempt) == LONGEST_SECONDS


@pytest.mark.parametrize("backoff", [Fixed(0), Exponential(0), Exponential(5, maximum=0), Exponential(0, maximum=0)])
def test_a_backoff_of_nothing_waits_for_nothing(backoff):
    assert [backoff.delay_seconds(attempt) for attempt in (0, 1, 9, 5000)] == [0] * 4


def test_a_factor_of_one_does_not_grow():
    assert Exponential(3, factor=1).delay_seconds(32_000) == 3


def test_jitter_takes_a_share_of_the_delay_by_chance():
    delays = [Exponential(100, jitter=0.5).delay_seconds(1) for _ in range(2000)]
    assert 50 <= min(delays) < 60
    assert 90 < max(delays) <= 100
    assert 70 < mean(delays) < 80


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fixed(-1), "The delay of Fixed must be a duration from 0 seconds"),
        (
            lambda: Fixed("1"),  # type: ignore[arg-type]
            "The delay of Fixed must be seconds or a timedelta, not '1'",
        ),
        (lambda: Fixed(True), "not True"),
        (lambda: Fixed(float("nan")), "not nan"),
        (lambda: Fixed(float("inf")), "not inf"),
        (lambda: Fixed(10**400), "not 10000"),
        (
            lambda: Exponential(None),  # type: ignore[arg-type]
            "The base of Exponential must be seconds or a timedelta, not None",
        ),
        (
            lambda: Exponential(1, maximum="x"),  # type: ignore[arg-type]
            "The maximum of Exponential .* not 'x'",
        ),
        (lambda: Exponential(1, jitter=2), "The jitter of Exponential must be a number from 0 to 1, not 2"),
        (lambda: Exponential(1, jitter=float("nan")), "The jitter of Exponential .* not nan"),
        (lambda: Exponential(1, factor=0.5), "The factor of Exponential must be a number from 1 to 1000, not 0.5"),
        (lambda: Exponential(1, factor=True), "not True"),
    ],
)
def test_a_backoff_that_cannot_work_is_told(make, message):
    with pytest.raises(InvalidOption, match=message):
        make()


@pytest.mark.parametrize(
    "backoff",
    [
        None,
        Fixed(2),
        Fixed(0.1),
        Exponential(2),
        Exponential(1.5, maximum=10, jitter=0.3, factor=4),
        Exponential(1, 1e9, 1, 1000),
    ],
)
def test_a_backoff_comes_back_from_its_row_and_fits_there(backoff):
    assert from_text(to_text(backoff)) == backoff
    assert len(to_text(backoff)) <= 200


@pytest.mark.parametrize("text", ["x", "[]", '["linear",1]', '["fixed"]', '["fixed",-1]', "{}", "1"])
def test_a_text_that_is_no_backoff_is_told(text):
    with pytest.raises((ValueError, TypeError)):
        from_text(text)
