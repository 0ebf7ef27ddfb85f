"""A plan travels to the children as text."""

import pytest

from django_jobs.worker.plan import Plan

PLAN = Plan(queue_names=("mail", "default"), processes=3, concurrency=7, burst=True, autoreload=True, grace_seconds=0.5)


@pytest.mark.parametrize("plan", [Plan(), PLAN, PLAN.for_suspects()], ids=["default", "all said", "suspects"])
def test_a_plan_comes_back_from_its_text_as_it_was(plan: Plan):
    assert Plan.from_text(plan.to_text()) == plan


def test_suspects_start_one_at_a_time_and_their_child_ends_after_them():
    plan = PLAN.for_suspects()
    assert (plan.suspects_only, plan.burst, plan.concurrency) == (True, True, 1)
    assert (plan.queue_names, plan.grace_seconds) == (PLAN.queue_names, PLAN.grace_seconds)
