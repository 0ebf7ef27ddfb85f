"""Many producers of one key at a time: nothing is lost, nothing runs side by side, and the counts are exact."""

from threading import Barrier
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Sum

from django_jobs import Deduplicate
from django_jobs.definitions.outcomes import Succeeded
from django_jobs.lifecycle.settling import settle
from django_jobs.models import Job
from django_jobs.states import State
from django_jobs.transitions.claiming import claim_ids
from tests.rows import NAMES, claim_one, ended, fresh, worker
from tests.samples import note
from tests.threads import elsewhere, together

pytestmark = pytest.mark.django_db(transaction=True)

PRODUCERS, CALLS = 8, 20
MODES = {
    "while alive": Deduplicate(key="feed 7"),
    "throttle": Deduplicate(key="feed 7", ttl=600),
    "debounce": Deduplicate(key="feed 7", ttl=600, extend=True, replace=True),
    "keep last": Deduplicate(key="feed 7", keep_last=True),
}
# SQLite waits for its one lock and asks again at once.
OPTIONS: dict[str, dict[str, Any]] = (
    {"default": {"transaction_mode": "IMMEDIATE", "timeout": 60}} if connection.vendor == "sqlite" else {}
)
SERVERS_ONLY = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one lock for all rows")


def produce(mode: Deduplicate) -> int:
    """Let all producers call at once, again and again; return how many were told that they stored a row."""

    def call(number: int, barrier: Barrier) -> int:
        created = 0
        for each in range(CALLS):
            barrier.wait()
            created += note.using(deduplicate=mode).enqueue(number, each).created
        return created

    return sum(together(PRODUCERS, call, OPTIONS))


def stored_and_counted() -> tuple[int, int]:
    return Job.objects.count(), Job.objects.aggregate(all=Sum("duplicates"))["all"]


@pytest.mark.parametrize("name", MODES)
def test_of_many_calls_one_row_is_left_that_counts_all_others(name):
    created = produce(MODES[name])
    assert stored_and_counted() == (1, PRODUCERS * CALLS - 1)
    assert Job.objects.get().state == State.READY
    # What replaces is a row of its own each time.
    assert created >= 1
    assert created == 1 or name == "debounce"


def test_while_one_runs_one_follow_up_is_left_and_then_runs():
    claim = claim_one(note.using(deduplicate=MODES["keep last"]).enqueue())
    produce(MODES["keep last"])
    assert stored_and_counted() == (2, PRODUCERS * CALLS - 1)
    follow_up = Job.objects.blocked().get()
    assert follow_up.args[1] == CALLS - 1
    settle("default", [ended(claim, Succeeded())])
    assert fresh(follow_up).state == State.READY


@SERVERS_ONLY
@pytest.mark.parametrize("name", MODES)
def test_an_open_transaction_of_a_producer_holds_up_no_worker(name):
    handle = note.using(deduplicate=MODES[name])
    first, me = handle.enqueue(1), worker()
    with elsewhere(lambda: handle.enqueue(2)):
        (claim,) = claim_ids("default", me, [first.pk], NAMES)
        # One that waited would be told from one that is locked.
        assert settle("default", [ended(claim, Succeeded())]).locked == []
    assert fresh(first).state == State.SUCCESSFUL


@SERVERS_ONLY
def test_a_producer_that_began_before_the_end_and_commits_after_it_is_not_forgotten():
    handle = note.using(deduplicate=MODES["keep last"])
    first = handle.enqueue(1)
    claim = claim_one(first)
    with elsewhere(lambda: handle.enqueue(2)):
        settle("default", [ended(claim, Succeeded())])
        assert not Job.objects.alive().exists()
    follow_up = Job.objects.alive().get()
    assert (follow_up.args, follow_up.state) == ([2], State.READY)


@SERVERS_ONLY
def test_a_producer_that_rolls_back_leaves_the_key_free():
    def change_its_mind() -> None:
        note.using(deduplicate=MODES["while alive"]).enqueue(1)
        transaction.set_rollback(True)

    with elsewhere(change_its_mind):
        pass
    assert note.using(deduplicate=MODES["while alive"]).enqueue(2).created
    assert stored_and_counted() == (1, 0)
