"""Pace: when bodies count as brisk, and when not any more."""

from django_jobs.worker.pace import JUDGED_SECONDS, SHORT_SECONDS, TRIAL_SECONDS, Pace
from tests.worker.clocks import MovedClock

MICROSECOND = 1e-6


def learned(pace: Pace, seconds: float, bodies: int, *, alone: bool = True) -> list[bool]:
    """Let so many bodies run for so long each; return whether one of them ended the time of brisk ones."""
    return [pace.learn(seconds, alone=alone) for _ in range(bodies)]


def brisk() -> Pace:
    """Return one that has just begun to take bodies for brisk."""
    pace = Pace()
    pace.learn(MICROSECOND, alone=False)
    assert pace.begin_trial()
    return pace


def test_before_a_body_has_run_nothing_is_brisk(moved_clock: MovedClock):
    pace = Pace()
    assert not pace.begin_trial()
    moved_clock.seconds += 3600
    assert not pace.begin_trial()
    assert not pace.is_brisk


def test_after_a_short_body_they_are_tried_and_remain_brisk(moved_clock: MovedClock):
    pace = Pace()
    assert not pace.learn(MICROSECOND, alone=False)
    assert pace.begin_trial()
    assert not any(learned(pace, SHORT_SECONDS / 2, 1000))
    assert pace.is_brisk


def test_a_trial_begins_once(moved_clock: MovedClock):
    pace = brisk()
    assert not pace.begin_trial()
    assert pace.is_brisk


def test_one_short_body_among_long_ones_is_enough_to_try(moved_clock: MovedClock):
    pace = Pace()
    for seconds in (1.0, JUDGED_SECONDS, 60.0):
        pace.learn(seconds, alone=False)
    assert pace.begin_trial()


def test_bodies_that_are_all_slow_are_never_tried(moved_clock: MovedClock):
    pace = Pace()
    for _ in range(10):
        learned(pace, JUDGED_SECONDS * 1.01, 10, alone=False)
        assert not pace.begin_trial()
        moved_clock.seconds += TRIAL_SECONDS


def test_bodies_that_take_longer_on_average_end_it_at_the_first_judgement(moved_clock: MovedClock):
    pace = brisk()
    needed = int(JUDGED_SECONDS / (SHORT_SECONDS * 2))
    assert not any(learned(pace, SHORT_SECONDS * 2, needed))
    assert pace.learn(SHORT_SECONDS * 2, alone=True)
    assert not pace.is_brisk


def test_a_single_one_that_takes_long_ends_it(moved_clock: MovedClock):
    pace = brisk()
    assert pace.learn(60.0, alone=True)
    assert not pace.is_brisk


def test_one_that_was_held_up_among_many_short_ones_does_not_end_it(moved_clock: MovedClock):
    pace = brisk()
    for _ in range(10):
        assert not any(learned(pace, MICROSECOND, 500))
        assert not pace.learn(0.02, alone=True)
    assert pace.is_brisk


def test_what_was_judged_once_counts_no_more(moved_clock: MovedClock):
    pace = brisk()
    # 10,000 short ones, judged by the way.
    assert not any(learned(pace, MICROSECOND * 2, 10_000))
    assert any(learned(pace, SHORT_SECONDS * 2, 100))
    assert not pace.is_brisk


def test_beside_others_nothing_is_judged(moved_clock: MovedClock):
    pace = brisk()
    assert not any(learned(pace, 60.0, 10, alone=False))
    assert pace.is_brisk
    # Nor does it count later.
    assert not any(learned(pace, MICROSECOND, 100_000))


def test_after_it_was_slowed_down_it_is_tried_again_after_a_while_and_not_before(moved_clock: MovedClock):
    pace = brisk()
    for _ in range(3):
        pace.slow_down()
        assert not pace.is_brisk
        pace.learn(MICROSECOND, alone=False)
        assert not pace.begin_trial()
        moved_clock.seconds += TRIAL_SECONDS * 0.99
        assert not pace.begin_trial()
        moved_clock.seconds += TRIAL_SECONDS * 0.02
        assert pace.begin_trial()


def test_who_was_slowed_down_by_long_bodies_is_tried_again_only_after_a_short_one(moved_clock: MovedClock):
    pace = brisk()
    pace.learn(60.0, alone=True)
    moved_clock.seconds += TRIAL_SECONDS
    assert not pace.begin_trial()
    pace.learn(60.0, alone=False)
    assert not pace.begin_trial()
    pace.learn(MICROSECOND, alone=False)
    assert pace.begin_trial()


def test_what_ran_in_an_earlier_trial_is_forgotten_in_the_next(moved_clock: MovedClock):
    pace = brisk()
    assert not pace.learn(JUDGED_SECONDS * 0.99, alone=True)
    pace.slow_down()
    moved_clock.seconds += TRIAL_SECONDS
    pace.learn(MICROSECOND, alone=False)
    assert pace.begin_trial()
    # The first of them would have been judged with the old one.
    assert not any(learned(pace, SHORT_SECONDS / 2, 1000))
    assert pace.is_brisk
