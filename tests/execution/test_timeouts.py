"""A body whose time is up hears of it, may clean up, and is tried again; one that ended in time is never struck."""

import asyncio
import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from django_jobs import JobTimeout, clock, current_job, job
from django_jobs.definitions.outcomes import Claim, Failed, Retried, Succeeded
from django_jobs.execution import timeouts
from django_jobs.execution.execute import timed_out
from django_jobs.execution.timeouts import Shot, Watch, Watched, call_in_time
from tests.execution.bodies import KINDS, act, act_async, claim, current_body, run
from tests.waiting import wait_until

SOON = 0.05
LONG = 60.0


def timed(function: Any = act, seconds: float = SOON, **fields: Any) -> Claim:
    return replace(claim(function, **fields), timeout=seconds)


def goes_on() -> None:
    """Work that is Python all the time."""
    while True:
        sum(range(100))


async def goes_on_async() -> None:
    await asyncio.Event().wait()


ENDLESS = {act.name: goes_on, act_async.name: goes_on_async}


@KINDS
def test_a_body_whose_time_is_up_is_tried_again_and_says_why(function):
    outcome = run(ENDLESS[function.name], timed(function))
    assert isinstance(outcome, Retried)
    assert outcome.delay == 5
    assert outcome.error.class_path == "django_jobs.errors.JobTimeout"
    assert outcome.error.message == "The body ran longer than its timeout of 0.05 s."
    assert "goes_on" in outcome.error.traceback


@KINDS
def test_in_its_last_attempt_it_fails(function):
    assert isinstance(run(ENDLESS[function.name], timed(function, attempt=3)), Failed)


@KINDS
def test_a_body_that_ends_in_time_is_left_alone(function):
    assert run(lambda: "done", timed(function, LONG)) == Succeeded('"done"')
    assert timeouts.watch._watched == {}


@KINDS
def test_errors_in_time_are_those_of_the_body(function):
    def fails():
        raise ValueError("mine")

    outcome = run(fails, timed(function, LONG))
    assert isinstance(outcome, Retried)
    assert outcome.error.summary == "ValueError: mine"


def test_a_body_may_catch_it_to_clean_up():
    seen = []

    def body():
        try:
            goes_on()
        except JobTimeout as error:
            seen.append(error)
            raise

    assert isinstance(run(body, timed()), Retried)
    assert len(seen) == 1


def test_an_async_body_cleans_up_when_it_is_cancelled():
    seen = []

    async def body():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            seen.append("clean")

    assert isinstance(run(body, timed(act_async)), Retried)
    assert seen == ["clean"]


def test_a_body_that_goes_on_after_every_exception_hears_of_it_all_the_same():
    caught = []

    def body():
        while True:
            try:
                sum(range(100))
                raise ValueError
            except Exception:
                caught.append(True)

    assert isinstance(run(body, timed()), Retried)
    assert caught


@KINDS
def test_a_body_that_catches_it_and_returns_has_succeeded(function):
    def body():
        try:
            goes_on()
        except JobTimeout:
            return "part of it"

    async def body_async():
        try:
            await goes_on_async()
        except asyncio.CancelledError:
            return "part of it"

    assert run(body if function is act else body_async, timed(function)) == Succeeded('"part of it"')


def test_a_call_that_waits_in_c_returns_first():
    door, late, opened = threading.Lock(), timed(seconds=1.0), []
    door.acquire()

    def was_struck():
        # A strike holds its lock until the exception is on its way.
        for watched in list(timeouts.watch._watched.values()):
            assert isinstance(watched.target, Shot)
            with watched.target._lock:
                return watched.target.was_fired
        return False

    def open_door():
        wait_until(was_struck, what="the body is struck")
        opened.append(True)
        door.release()

    opener = threading.Thread(target=open_door)
    opener.start()
    # By the time that is up it waits for the door.
    assert isinstance(run(door.acquire, late), Retried)
    assert opened
    opener.join()


def test_retry_rules_apply_to_timeouts():
    @job(name="execution.once", no_retry_on=JobTimeout)
    def once():
        goes_on()

    assert isinstance(run(lambda: None, timed(once)), Failed)


@KINDS
def test_a_body_knows_when_its_time_is_up(function):
    seen: list[Any] = []
    run(lambda: seen.append(current_job()), timed(function, 60.0))
    run(lambda: seen.append(current_job()), claim(function))
    assert abs(seen[0].deadline - clock.now() - timedelta(seconds=60)) < timedelta(seconds=10)
    assert seen[1].deadline is None


def test_a_timeout_may_be_longer_than_any_clock_can_wait():
    assert run(lambda: 1, timed(seconds=1000 * 366 * 24 * 3600.0)) == Succeeded("1")


def test_what_ends_at_its_deadline_is_struck_in_the_body_or_not_at_all():
    """Whatever the moment, the exception never comes to those who called."""

    def body():
        end = time.perf_counter() + 0.001
        while time.perf_counter() < end:
            pass

    token = current_body.set(body)
    struck = 0
    try:
        for _ in range(300):
            try:
                call_in_time((timed(seconds=0.001),), act.spec.function)
            except JobTimeout:
                struck += 1
            for _ in range(200):  # where a late one would come
                pass
    finally:
        current_body.reset(token)
    assert 0 <= struck <= 300
    assert timeouts.watch._watched == {}


def test_a_shot_that_was_closed_strikes_no_more():
    shot = Shot()
    shot.close()
    shot.strike()
    assert sum(range(10_000)) > 0
    assert not shot.was_fired


class Aim:
    """Something that is struck."""

    def __init__(self) -> None:
        self.strikes = 0

    def strike(self) -> None:
        self.strikes += 1


@pytest.fixture
def watch() -> Watch:
    """A watch whose steps are taken here, not in its thread."""
    watch = Watch()
    watch._thread = threading.current_thread()
    return watch


def watched(watch: Watch, seconds: float) -> tuple[Aim, Watched]:
    aim = Aim()
    each = Watched((timed(seconds=seconds),), seconds, aim)
    watch.add(each)
    return aim, each


def test_each_body_is_struck_once_when_its_time_is_up(watch):
    (early, _), (late, _) = watched(watch, 0.0), watched(watch, LONG)
    watch.step(), watch.step()
    assert (early.strikes, late.strikes) == (1, 0)


def test_what_has_ended_is_struck_no_more(watch):
    aim, each = watched(watch, 0.0)
    watch.remove(each)
    assert watch.step() > 0
    assert aim.strikes == 0


def test_a_body_that_goes_on_after_the_grace_is_said_to_be_stuck_once(watch, settings, caplog):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "GRACE_SECONDS": 0}
    stuck: list[Claim] = []
    watch.on_stuck = stuck.append
    _, each = watched(watch, 0.0)
    wait_until(lambda: (watch.step(), stuck)[1])
    watch.step()
    assert stuck == list(each.claims)
    assert "goes on although its time was up" in caplog.text
    assert watch.overdue() == {(claim.id, claim.fence) for claim in each.claims}


def test_a_target_that_cannot_be_struck_does_not_end_the_watch(watch, caplog):
    class Broken:
        def strike(self) -> None:
            raise RuntimeError("out of order")

    watch.add(Watched((timed(),), 0.0, Broken()))
    aim, _ = watched(watch, 0.0)
    watch.step()
    assert aim.strikes == 1
    assert "out of order" in caplog.text


def test_what_cannot_be_made_to_end_comes_to_the_same_as_what_ended():
    outcome = timed_out(timed())
    assert isinstance(outcome, Retried)
    assert outcome.error.message == "The body ran longer than its timeout of 0.05 s."
