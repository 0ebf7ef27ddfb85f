"""The protocol holds in every interleaving of small worlds, and each of its guards is needed."""

from dataclasses import fields

import pytest

from tests.protocol.exploring import explore
from tests.protocol.keys import KeyGuards, KeyModel, without_key_guard
from tests.protocol.model import Guards, Model, Scope, without

pytestmark = pytest.mark.once

SCOPES = {
    "lost answers, hand-backs and wrong suspicion": Scope(detours=2),
    "several attempts": Scope(max_attempts=2, detours=0),
    "a person who cancels": Scope(cancels=True, detours=1),
    "bells that get lost": Scope(bells=True, detours=1),
    "a database that loses its last commit": Scope(database_forgets=True, detours=0),
    "nobody is wrongly suspected": Scope(wrong_suspicion=False, detours=2, max_attempts=2, bells=True, cancels=True),
}
BASE, CANCELS, FORGETS = Scope(), Scope(cancels=True), Scope(database_forgets=True, detours=0)
ACCURATE = Scope(wrong_suspicion=False, detours=2)

# What is left out, in which world, and what goes wrong then.
NEEDED = {
    "claim_asks_for_ready": (BASE, "a job that runs was claimed"),
    "claim_asks_whether_i_live": (BASE, "a job starts under a life that is over"),
    "end_asks_for_running": (BASE, "who does not run any more was ended"),
    "end_asks_for_fence": (ACCURATE, "a stale attempt ended one that it does not own"),
    "end_asks_for_owner": (FORGETS, "a stale attempt ended one that it does not own"),
    "end_yields_to_cancel": (CANCELS, "it never ends"),
    "rescue_yields_to_cancel": (CANCELS, "it never ends"),
    "rescue_asks_again": (BASE, "a job was taken from a worker that lives"),
    "rescue_refunds_the_attempt": (BASE, "more attempts than allowed"),
    "snooze_refunds_the_attempt": (BASE, "more attempts than allowed"),
    "stalls_are_limited": (Scope(lives=3, detours=0), "more deaths than allowed"),
    "fence_is_no_attempt": (ACCURATE, "a stale attempt ended one that it does not own"),
    "sweep": (Scope(bells=True), "it never ends"),
    "rescue": (BASE, "it never ends"),
    "reconcile": (BASE, "it never ends"),
    "reconcile_waits_for_claims": (ACCURATE, "two bodies at once though nobody was wrongly suspected"),
    "success_is_atomic": (BASE, "a success without its effect, or an effect without a success"),
}
# Guards that stand before each other: one of the two is enough, without both it breaks. Whoever makes a job ready again
# heeds the wish that the claim asks for.
PAIRS = [
    ("claim_asks_for_cancel", "end_yields_to_cancel", CANCELS, "a cancelled job starts"),
]


@pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES)
def test_the_protocol_holds(scope: Scope):
    finding = explore(Model(scope=scope))
    print(f"{finding.states} states")
    assert (finding.violation, finding.trace) == ("", ())
    assert finding.states > 1000


@pytest.mark.parametrize(("guard", "scope", "violation"), [(guard, *rest) for guard, rest in NEEDED.items()])
def test_without_this_guard_the_protocol_breaks(guard: str, scope: Scope, violation: str):
    assert not explore(Model(scope=scope)).violation
    finding = explore(Model(without(guard), scope))
    print(" -> ".join(finding.trace))
    assert finding.violation == violation


@pytest.mark.parametrize(("guard", "other", "scope", "violation"), PAIRS)
def test_a_guard_behind_another_one_is_needed_without_that(guard: str, other: str, scope: Scope, violation: str):
    assert not explore(Model(without(guard), scope)).violation
    assert explore(Model(without(guard, other), scope)).violation == violation


def test_each_guard_is_shown_to_be_needed():
    assert {*NEEDED, *(each for pair in PAIRS for each in pair[:2])} == {each.name for each in fields(Guards)}


KEYS_NEEDED = {
    "index_is_unique": "two jobs of one key",
    "ending_gives_back": "it never ends",
    "retry_asks_again": "two jobs of one key",
}


def test_a_key_has_one_job_and_is_free_again_when_that_has_ended():
    assert not explore(KeyModel()).violation


@pytest.mark.parametrize(("guard", "violation"), KEYS_NEEDED.items())
def test_without_this_guard_keys_break(guard: str, violation: str):
    finding = explore(KeyModel(without_key_guard(guard)))
    print(" -> ".join(finding.trace))
    assert finding.violation == violation


def test_each_guard_of_keys_is_shown_to_be_needed():
    assert KEYS_NEEDED.keys() == {each.name for each in fields(KeyGuards)}
