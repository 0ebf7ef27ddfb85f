"""The protocol of claims as a model small enough to look at every interleaving of it.

One job, two workers, a transport that loses and doubles its bells, someone who declares workers dead and may be wrong,
a person who cancels, and a database that may lose its last commit. Each worker may crash or be declared dead, and come
back as another incarnation. There are no clocks: whatever may happen late may happen at any time.

`fence` only grows; `attempt` is given back by a snooze, a hand-back and a rescue; `stalls` counts deaths. Every guard
of the real statements stands in `Guards`, and can be taken away.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.protocol.exploring import Step

READY, RUNNING, SUCCESSFUL, FAILED, CANCELLED = "ready", "running", "successful", "failed", "cancelled"
ENDED = (SUCCESSFUL, FAILED, CANCELLED)
NOBODY = (-1, -1)

# Returns a world in which the worker that acts is changed.
Put = Callable[..., "World"]
# A worker's identity: which of the two, and which of its lives.
Life = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """The parts of the protocol; False: it is left out."""

    claim_asks_for_ready: bool = True
    claim_asks_whether_i_live: bool = True
    claim_asks_for_cancel: bool = True
    end_asks_for_running: bool = True
    end_asks_for_fence: bool = True
    end_asks_for_owner: bool = True
    end_yields_to_cancel: bool = True
    rescue_yields_to_cancel: bool = True
    rescue_asks_again: bool = True
    rescue_refunds_the_attempt: bool = True
    snooze_refunds_the_attempt: bool = True
    stalls_are_limited: bool = True
    fence_is_no_attempt: bool = True
    sweep: bool = True
    rescue: bool = True
    reconcile: bool = True
    reconcile_waits_for_claims: bool = True
    success_is_atomic: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """How much may happen: small worlds, each about something else, are looked at faster than one large one.

    `detours`: as often snoozes, hand-backs and lost answers may send the job round; else it could go on for ever.
    `bells`: who claims has heard a bell, which may be lost; else everybody may try to claim at any time.
    """

    max_attempts: int = 1
    max_stalls: int = 1
    lives: int = 2
    detours: int = 1
    wrong_suspicion: bool = True
    cancels: bool = False
    bells: bool = False
    database_forgets: bool = False


class Row(NamedTuple):
    """What is committed."""

    state: str = READY
    fence: int = 0
    attempt: int = 0
    stalls: int = 0
    owner: Life = NOBODY
    cancel: bool = False
    effects: int = 0
    dead: frozenset[Life] = frozenset()


class Claim(NamedTuple):
    fence: int
    attempt: int
    owner: Life


class Worker(NamedTuple):
    """`phase`: idle, pending (its claim is committed, the answer under way), runs. `out`: an outcome, unwritten."""

    life: int = 0
    phase: str = "idle"
    claim: Claim | None = None
    out: tuple[str, Claim] | None = None


class World(NamedTuple):
    row: Row = Row()
    workers: tuple[Worker, ...] = (Worker(), Worker())
    bell: bool = True
    rescuer_looked: bool = False
    # Somebody who lives was declared dead.
    wronged: bool = False
    # The row before its last commit, while that may be lost.
    before: Row | None = None
    forgot: bool = False


class Model:
    """The protocol, as `explore` wants it."""

    start = World()

    def __init__(self, guards: Guards | None = None, scope: Scope | None = None) -> None:
        self.guards, self.scope = guards or Guards(), scope or Scope()

    def is_over(self, world: World) -> bool:
        return world.row.state in ENDED

    def steps(self, world: World) -> Iterator[Step[World]]:
        """Yield all that can happen next."""
        if self.scope.bells:
            yield from self._transport(world)
        yield from self._people_and_database(world)
        yield from self._deaths(world)
        for number in range(len(world.workers)):
            yield from self._worker(world, number)

    def invariant(self, world: World) -> str:
        """Return what is broken in this state, or nothing."""
        row = world.row
        if row.effects > 1:
            return "two effects of an atomic job"
        if (row.state == SUCCESSFUL) != bool(row.effects):
            return "a success without its effect, or an effect without a success"
        if row.attempt > self.scope.max_attempts:
            return "more attempts than allowed"
        if row.stalls > self.scope.max_stalls + 1:
            return "more deaths than allowed"
        if not world.wronged and not world.forgot and sum(each.phase == "runs" for each in world.workers) > 1:
            return "two bodies at once though nobody was wrongly suspected"
        return ""

    def _commit(self, world: World, row: Row, **changes: object) -> World:
        forgets = self.scope.database_forgets and not world.forgot
        before = world.row if forgets and row != world.row else world.before
        return world._replace(row=row, before=before, **changes)  # type: ignore[arg-type]

    def _transport(self, world: World) -> Iterator[Step[World]]:
        if world.bell:
            yield Step("bell lost", False, world._replace(bell=False))
        elif self.guards.sweep and world.row.state == READY:
            yield Step("sweep", True, world._replace(bell=True))

    def _people_and_database(self, world: World) -> Iterator[Step[World]]:
        row = world.row
        if self.scope.cancels and row.state == READY and not row.cancel:
            yield Step("cancel", False, self._commit(world, row._replace(state=CANCELLED)))
        if self.scope.cancels and row.state == RUNNING and not row.cancel:
            yield Step("ask to cancel", False, self._commit(world, row._replace(cancel=True)))
        if world.before is not None and not world.forgot:
            # Who is dead, stays dead: a beat of the one that was brought back would tell it to live anew all the same.
            lost = world.before._replace(dead=world.row.dead)
            yield Step("database forgets", False, world._replace(row=lost, before=None, forgot=True))

    def _deaths(self, world: World) -> Iterator[Step[World]]:
        row = world.row
        for number, worker in enumerate(world.workers):
            for life in range(worker.life + 1):
                is_gone = life < worker.life
                may_be_wrong = self.scope.wrong_suspicion and life < self.scope.lives - 1
                if (number, life) not in row.dead and (is_gone or may_be_wrong):
                    dead = row._replace(dead=row.dead | {(number, life)})
                    world_after = world._replace(row=dead, wronged=world.wronged or not is_gone)
                    yield Step(f"{number} is declared dead", is_gone, world_after)
        if not self.guards.rescue:
            return
        is_orphan = row.state == RUNNING and row.owner in row.dead
        if not world.rescuer_looked and is_orphan:
            yield Step("rescuer looks", True, world._replace(rescuer_looked=True))
        if world.rescuer_looked:
            yield self._rescue(world, is_orphan)

    def _rescue(self, world: World, is_orphan: bool) -> Step[World]:
        row, guards = world.row, self.guards
        done = world._replace(rescuer_looked=False)
        if not (is_orphan or (not guards.rescue_asks_again and row.state == RUNNING)):
            return Step("rescue finds nothing", True, done)
        if row.cancel and guards.rescue_yields_to_cancel:
            state = CANCELLED
        elif guards.stalls_are_limited and row.stalls + 1 > self.scope.max_stalls:
            state = FAILED
        else:
            state = READY
        refund = int(guards.rescue_refunds_the_attempt and state == READY)
        after = row._replace(state=state, owner=NOBODY, stalls=row.stalls + 1, attempt=row.attempt - refund)
        violation = "" if is_orphan else "a job was taken from a worker that lives"
        return Step("rescue", True, self._commit(done, after), violation)

    def _worker(self, world: World, number: int) -> Iterator[Step[World]]:
        worker, row = world.workers[number], world.row
        me = (number, worker.life)

        def put(after: World, **changes: object) -> World:
            mine = worker._replace(**changes)  # type: ignore[arg-type]
            return after._replace(workers=tuple(mine if n == number else w for n, w in enumerate(after.workers)))

        if worker.life < self.scope.lives - 1:
            anew = Worker(life=worker.life + 1)
            yield Step(f"{number} crashes", False, put(world, **anew._asdict()))
            if me in row.dead:
                # What runs goes on, and what comes of it is still written, in the name of the former life.
                phase = worker.phase if worker.phase == "runs" else "idle"
                yield Step(f"{number} lives anew", True, put(world, life=worker.life + 1, phase=phase))
        if worker.phase == "idle" and (world.bell or not self.scope.bells):
            yield from self._claim(world, number, put)
        elif worker.phase == "pending":
            assert worker.claim is not None
            yield Step(f"{number} begins", True, put(world, phase="runs"))
            if worker.claim.fence <= self.scope.detours:
                yield Step(f"{number} loses the answer to its claim", False, put(world, phase="idle", claim=None))
        elif worker.phase == "runs" and worker.out is None:
            assert worker.claim is not None
            for outcome in self._outcomes(worker.claim):
                out = (outcome, worker.claim)
                helps = outcome == "succeeds"
                after = world
                if helps and not self.guards.success_is_atomic:
                    after = self._commit(world, row._replace(effects=row.effects + 1))
                yield Step(f"{number} {outcome}", helps, put(after, phase="idle", claim=None, out=out))
        if worker.out is not None:
            yield from self._end(world, number, put)
        yield from self._reconcile(world, number)

    def _outcomes(self, claim: Claim) -> tuple[str, ...]:
        detours = ("snoozes", "gives back") if claim.fence <= self.scope.detours else ()
        return ("succeeds", "fails", *detours)

    def _claim(self, world: World, number: int, put: Put) -> Iterator[Step[World]]:
        worker, row, guards = world.workers[number], world.row, self.guards
        world = world._replace(bell=world.bell and not self.scope.bells)
        me = (number, worker.life)
        fits = row.state == READY if guards.claim_asks_for_ready else True
        lives = me not in row.dead or not guards.claim_asks_whether_i_live
        wanted = not row.cancel or not guards.claim_asks_for_cancel
        if not (fits and lives and wanted):
            yield Step(f"{number} claims nothing", True, world)
            return
        fence, attempt = row.fence + 1, row.attempt + 1
        claimed = self._commit(world, row._replace(state=RUNNING, owner=me, fence=fence, attempt=attempt))
        violation = ""
        if row.state in ENDED:
            violation = "a job that has ended starts again"
        elif row.state == RUNNING:
            violation = "a job that runs was claimed"
        elif me in row.dead:
            violation = "a job starts under a life that is over"
        elif row.cancel:
            violation = "a cancelled job starts"
        claim = Claim(fence, attempt, me)
        yield Step(f"{number} claims", True, put(claimed, phase="pending", claim=claim), violation)

    def _end(self, world: World, number: int, put: Put) -> Iterator[Step[World]]:
        worker, row, guards = world.workers[number], world.row, self.guards
        assert worker.out is not None
        outcome, claim = worker.out
        number_of_row, number_of_claim = (
            (row.fence, claim.fence) if guards.fence_is_no_attempt else (row.attempt, claim.attempt)
        )
        matches = (
            (row.state == RUNNING or not guards.end_asks_for_running)
            and (number_of_row == number_of_claim or not guards.end_asks_for_fence)
            and (row.owner == claim.owner or not guards.end_asks_for_owner)
        )
        if not matches:
            yield Step(f"{number} comes too late", True, put(world, out=None))
            return
        violation = ""
        if row.state != RUNNING:
            violation = "who does not run any more was ended"
        elif (row.fence, row.owner) != (claim.fence, claim.owner):
            violation = "a stale attempt ended one that it does not own"
        written = self._commit(world, self._ended(row, outcome))
        yield Step(f"{number} writes", True, put(written, out=None), violation)
        yield Step(f"{number} writes and hears nothing of it", False, written, violation)

    def _ended(self, row: Row, outcome: str) -> Row:
        if outcome == "succeeds":
            # Not atomic: the body has committed its effect before.
            effects = row.effects + int(self.guards.success_is_atomic)
            return row._replace(state=SUCCESSFUL, effects=effects)
        attempt, state = row.attempt, READY
        if outcome == "fails":
            state = READY if row.attempt < self.scope.max_attempts else FAILED
        elif self.guards.snooze_refunds_the_attempt:
            attempt -= 1
        if row.cancel and self.guards.end_yields_to_cancel:
            state = CANCELLED
        # What has ended tells who ran it.
        owner = row.owner if state in ENDED else NOBODY
        return row._replace(state=state, owner=owner, attempt=attempt)

    def _reconcile(self, world: World, number: int) -> Iterator[Step[World]]:
        worker, row = world.workers[number], world.row
        me = (number, worker.life)
        if not self.guards.reconcile or row.state != RUNNING or row.owner != me or me in row.dead:
            return
        known = worker.claim is not None and worker.phase == "runs"
        known = known or (worker.phase == "pending" and self.guards.reconcile_waits_for_claims)
        known = known or (worker.out is not None and worker.out[1].fence == row.fence)
        if not known:
            state = CANCELLED if row.cancel else READY
            after = row._replace(state=state, owner=NOBODY, attempt=row.attempt - 1)
            yield Step(f"{number} gives back what it does not know", True, self._commit(world, after))


def without(*guards: str) -> Guards:
    """Return the guards less some."""
    return replace(Guards(), **dict.fromkeys(guards, False))
