"""Ten thousand interleavings of the life of a job, through the real verbs, and no promise is broken in any.

DJANGO_JOBS_SIMULATION_SEED    the first seed (0); a failed test names the one to give
DJANGO_JOBS_SIMULATION_RUNS    how many runs in each part (80)
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from django_jobs.transitions import claiming, ending
from tests.protocol.simulated import simulated
from tests.protocol.simulation import Simulation, Template, Violation

pytestmark = pytest.mark.once

FIRST = int(os.environ.get("DJANGO_JOBS_SIMULATION_SEED", 0))
RUNS = int(os.environ.get("DJANGO_JOBS_SIMULATION_RUNS", 80))
PARTS, LEAST = 4, 10_000
# A flaw is to be found within so many runs.
ENOUGH = 60


@pytest.fixture
def template(django_db_blocker: Any) -> Iterator[Template]:
    with django_db_blocker.unblock(), simulated() as database:
        yield Template(database)


def run(template: Template, seed: int) -> Simulation:
    simulation = Simulation(template, seed)
    try:
        simulation.run()
    except Violation as violation:
        print(f"DJANGO_JOBS_SIMULATION_SEED={seed} DJANGO_JOBS_SIMULATION_RUNS=1")
        print("\n".join(simulation.trace))
        raise Violation(f"With the seed {seed}: {violation}") from violation
    return simulation


def run_many(template: Template, seeds: Iterable[int]) -> None:
    for seed in seeds:
        run(template, seed)


@pytest.mark.parametrize("part", range(PARTS))
def test_no_interleaving_breaks_a_promise(template: Template, part: int):
    histories, counts = set(), Counter[str]()
    for seed in range(FIRST + part * RUNS, FIRST + (part + 1) * RUNS):
        simulation = run(template, seed)
        histories.update(simulation.histories)
        counts += simulation.counts
    print(f"{len(histories)} different interleavings. {dict(counts)}")
    if RUNS >= 80:
        assert len(histories) * PARTS >= LEAST
        assert {"came too late", "rescued", "given back unknown", "lived anew", "declared dead"} <= counts.keys()


def test_a_seed_gives_the_same_steps_again(template: Template):
    first, second = run(template, FIRST), run(template, FIRST)
    assert (first.trace, first.histories) == (second.trace, second.histories)


FLAWS = {
    "an end that asks for the state alone": (ending, "_GUARD", "j.state = 'running'"),
    "a claim that does not ask for what is ready": (
        claiming,
        "ready",
        lambda sql, suspect: f"state IN ('ready', 'running') AND {sql.flag('suspect', suspect)}",
    ),
}


@pytest.mark.parametrize(("module", "name", "flaw"), FLAWS.values(), ids=FLAWS)
def test_a_flaw_is_found(template: Template, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, flaw: Any):
    monkeypatch.setattr(module, name, flaw)
    # Rows that come back with a fence that was not asked for are found out even sooner.
    with pytest.raises((Violation, KeyError)):
        run_many(template, range(ENOUGH))


def test_without_reconciling_a_claim_whose_answer_was_lost_never_ends(
    template: Template, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Simulation, "reconcile", lambda self, worker: None)
    with pytest.raises(Violation, match="never ends"):
        run_many(template, range(ENOUGH))
