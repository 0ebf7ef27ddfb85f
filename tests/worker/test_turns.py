"""Whose turn it is: counted, not timed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from django_jobs.worker.turns import Turns
from tests.project.jobs import add
from tests.worker.claims import claim


def dealt(turns: Turns, queue_names: list[str], *counts: int) -> Counter[str]:
    """Return how many starts each queue got in all, when so many were dealt out, one time after the other."""
    total: Counter[str] = Counter()
    for count in counts:
        names, shares = turns.next(queue_names, count)
        assert sum(shares) == count
        total.update(dict(zip(names, shares, strict=True)))
    return total


def test_each_queue_comes_first_in_turn_also_when_another_is_paused_meanwhile():
    turns = Turns({})
    rounds = [turns.next(["a", "b", "c"], 10) for _ in range(6)]
    assert all(sorted(names) == ["a", "b", "c"] and shares == [] for names, shares in rounds)
    assert Counter(names[0] for names, _ in rounds) == {"a": 2, "b": 2, "c": 2}
    assert {turns.next(["a", "c"], 10)[0][0] for _ in range(2)} == {"a", "c"}


def test_two_who_ask_in_turn_see_every_queue_first_each():
    fetcher, recorder = Turns({}), Turns({})
    seen = [(fetcher.next(["a", "b"], 1)[0][0], recorder.next(["a", "b"], 1)[0][0]) for _ in range(2)]
    assert {first for first, _ in seen} == {second for _, second in seen} == {"a", "b"}


def test_what_is_strict_stays_in_its_order():
    turns = Turns({}, strict=True)
    assert [turns.next(["b", "a"], 5) for _ in range(3)] == [(["b", "a"], [])] * 3


def test_without_a_queue_there_is_nothing_to_deal():
    assert Turns({"a": 2}).next([], 5) == ([], [])


@pytest.mark.parametrize("counts", [[1] * 60, [7] * 60, [60], [500, 1, 1, 98]], ids=str)
@pytest.mark.parametrize("weights", [{"mail": 5, "default": 1}, {"a": 1, "b": 1, "c": 1}, {"a": 3, "b": 2, "c": 1}])
def test_starts_are_dealt_out_by_weight_however_many_at_a_time(weights: Mapping[str, int], counts: list[int]):
    total = dealt(Turns(weights), list(weights), *counts)
    whole = sum(weights.values())
    for name, weight in weights.items():
        assert abs(total[name] - sum(counts) * weight / whole) < 1


def test_what_was_claimed_queue_by_queue_is_mixed_by_weight():
    claims = [replace(claim(add), queue_name=name) for name in ["default"] * 2 + ["mail"] * 10]
    mixed = Turns({"mail": 5, "default": 1}).mixed(claims)
    assert Counter(each.queue_name for each in mixed[:6]) == {"mail": 5, "default": 1}
    assert set(mixed) == set(claims)
    assert Turns({}).mixed(claims) == claims


def test_no_queue_waits_longer_than_its_weight_says():
    turns, queue_names = Turns({"mail": 5, "default": 1}), ["mail", "default"]
    order = [max(dealt(turns, queue_names, 1).items(), key=lambda each: each[1])[0] for _ in range(36)]
    for start in range(31):
        assert Counter(order[start : start + 6]) == {"mail": 5, "default": 1}


def test_a_paused_queue_has_no_share_and_saves_none_up():
    turns = Turns({"mail": 5, "default": 1})
    assert dealt(turns, ["default"], *[3] * 10) == {"default": 30}
    total: Any = dealt(turns, ["mail", "default"], *[1] * 60)
    assert total == {"mail": 50, "default": 10}
