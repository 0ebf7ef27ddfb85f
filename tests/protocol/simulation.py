"""A deterministic simulation: the real verbs on SQLite, two workers, and a scheduler that decides by a seed.

Each step is one transaction, one take, or one thing that goes wrong: bells and answers to commits get lost, workers
crash, are paused until they count as dead, and come back; time jumps. After every step the table is looked at. In the
end all faults are over, and everything must come to an end. A seed gives the same steps again.

Statements are what costs time, and they take many jobs at once. So a run has JOBS jobs, each step acts on some of them,
drawn by chance, and each job lives through an interleaving of its own: `histories` tells which.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from django.db import OperationalError

from django_jobs import Fixed, enqueue_many
from django_jobs.definitions.outcomes import (
    Claim,
    Ended,
    ErrorReport,
    Failed,
    GivenBack,
    Outcome,
    Retried,
    Snoozed,
    Succeeded,
)
from django_jobs.execution.atomic import commit_together
from django_jobs.execution.execute import outcome_of
from django_jobs.lifecycle.control import cancel
from django_jobs.lifecycle.rescuing import claims_in_hand, give_back_unknown, judge, rescue_orphans, rescue_worker
from django_jobs.lifecycle.settling import settle_and_claim
from django_jobs.lifecycle.sweeping import sweep
from django_jobs.states import ENDED, State
from django_jobs.transitions.claiming import claim_due, claim_ids
from django_jobs.transitions.rescuing import beat
from django_jobs.transports import Bell
from tests.protocol.simulated import Database, LossyTransport, use_transport
from tests.samples import note

Item = TypeVar("Item")

QUEUES, NAMES = ["default"], [note.name]
JOBS, STEPS, ROUNDS = 64, 110, 20
DEAD_AFTER = 10.0
MAX_ATTEMPTS, MAX_STALLS = 2, 1
ERROR = ErrorReport(class_path="builtins.ValueError", message="As was wished.", traceback="")
COLUMNS = "id, state, fence, attempt, starts, stalls, max_attempts, owner, result_text, error"
# Every so manieth job is atomic, or may be cancelled.
EACH_ATOMIC, EACH_CANCELLED = 7, 5


class Violation(AssertionError):
    """Something that must never be so is so."""


@dataclass(slots=True)
class Worker:
    """One process: what it holds in memory. `id` changes with each of its lives."""

    number: int
    id: UUID
    batch: int = 0
    inbox: list[UUID] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    running: list[Claim] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    paused: bool = False


class Template:
    """A database with all jobs, to begin each simulation from."""

    def __init__(self, database: Database) -> None:
        use_transport(LossyTransport(random.Random(0)))
        self.database = database
        options: dict[str, Any] = {"max_attempts": MAX_ATTEMPTS, "max_stalls": MAX_STALLS, "backoff": Fixed(1)}
        jobs = enqueue_many(note.using(**options).request() for _ in range(JOBS))
        self.jobs = [job.pk for job in jobs]
        self.bells = [Bell(job.pk, job.queue_name, job.rank) for job in jobs]
        database.query("CREATE TABLE stored AS SELECT * FROM django_jobs_job")

    def restore(self) -> None:
        for table in ("django_jobs_job", "django_jobs_worker", "django_jobs_attempt", "effect"):
            self.database.query(f"DELETE FROM {table}")
        self.database.query("INSERT INTO django_jobs_job SELECT * FROM stored")
        self.database.time.seconds = 1.0


class Simulation:
    """One run. `trace` tells its steps; `counts` what came of them."""

    def __init__(self, template: Template, seed: int) -> None:
        self.chance = random.Random(seed)
        self.trace: list[str] = []
        self.counts: Counter[str] = Counter()
        self._database, self._jobs = template.database, template.jobs
        self._names = {id: f"job {number}" for number, id in enumerate(self._jobs)}
        self._atomic = set(self._jobs[::EACH_ATOMIC])
        self._told: dict[UUID, list[str]] = {id: [] for id in self._jobs}
        template.restore()
        self.transport = LossyTransport(self.chance)
        use_transport(self.transport)
        self.transport.announce(template.bells)
        self._workers = [Worker(number, UUID(int=0)) for number in (0, 1)]
        self._lives = 0
        self._suspected: set[UUID] = set()
        for each in self._workers:
            self._begin_life(each)
        self._began: set[tuple[UUID, int]] = set()
        self._seen = self._rows()

    def run(self) -> None:
        """Take steps by chance, then heal everything, and look. Raises Violation."""
        for _ in range(STEPS):
            self._step()
        self._heal()
        self._judge_the_end()

    @property
    def histories(self) -> list[tuple[str, ...]]:
        """What happened to each job, in order."""
        return [tuple(each) for each in self._told.values()]

    def _step(self) -> None:
        worker = self.chance.choice(self._workers)
        work: list[Callable[[Worker], None]] = [self.take, self.cycle]
        work += [self.cycle, self.cycle] if worker.inbox or worker.ended else []
        work += [self.begin, self.begin] if any(each not in worker.running for each in worker.claims) else []
        work += [self.finish, self.finish] if worker.running else []
        upkeep = [self.beat, self.judge, self.reconcile, self.sweep]
        faults = [self.pause, self.crash, self.forget_bells, self.cancel]
        if worker.paused:
            work, upkeep, faults = [self.let_time_pass], [self.let_time_pass], [self.resume]
        choices = self.chance.choices((work, upkeep, [self.let_time_pass], faults), (14, 4, 2, 2))[0]
        self._do(self.chance.choice(choices), worker)

    def _do(self, act: Callable[[Worker], None], worker: Worker) -> None:
        self.trace.append(f"{worker.number} {act.__name__}")
        act(worker)
        self._database.failure = None
        if act not in (self.take, self.cycle, self.begin, self.finish):
            # What others do meanwhile is a part of the story of whoever has not ended.
            self._tell(UUID(id) for id, row in self._seen.items() if row[1] not in ENDED)
        self._look()

    # What workers do.

    def take(self, worker: Worker) -> None:
        now = self._database.time.now()
        taken = self.transport.take(worker.id, QUEUES, self.chance.choice((1, 5, 15)), now, worker.batch)
        if self._happens(0.2, "the answer to a take was lost"):
            return
        worker.batch += 1
        worker.inbox += taken.ids
        self._tell(taken.ids)

    def cycle(self, worker: Worker, *, by_table: float = 0.3) -> None:
        """Write down what has ended and claim, in one transaction, as the recorder does."""
        held = {claim.id for claim in worker.claims}
        ids = self._some([id for id in worker.inbox if id not in held])
        looks, suspects = self.chance.random() < by_table, self.chance.random() < by_table

        def claim() -> list[Claim]:
            claims = claim_ids("default", worker.id, ids, NAMES)
            if suspects:
                return claims + claim_due("default", worker.id, QUEUES, 3, NAMES, suspect=True)
            return claims + (claim_due("default", worker.id, QUEUES, 3, NAMES) if looks else [])

        ended = self._some(worker.ended)
        worker.ended = [each for each in worker.ended if each not in ended]
        self._prepare_failure()
        try:
            settled, claims = settle_and_claim("default", ended, claim)
        except OperationalError:
            worker.ended = ended + worker.ended
            return
        worker.ended += settled.locked
        gone = {(each.claim.id, each.claim.fence) for each in (*(one for one, _ in settled.written), *settled.fenced)}
        worker.claims = [each for each in worker.claims if (each.id, each.fence) not in gone] + claims
        worker.inbox = [id for id in worker.inbox if id not in ids]
        self._tell((each.claim.id for each in settled.fenced), "too late")
        self.counts["came too late"] += len(settled.fenced)
        self.counts["claimed"] += len(claims)

    def begin(self, worker: Worker) -> None:
        """Begin bodies of claims that have not begun."""
        waiting = [each for each in worker.claims if (each.id, each.fence) not in self._began]
        for claim in self._some(waiting):
            for other in self._workers:
                for body in other.running:
                    # Who is dead and does not know it yet may still begin what it has claimed.
                    if body.id == claim.id and self._is_alive(body.owner) and self._is_alive(claim.owner):
                        raise Violation(f"{self._names[claim.id]} runs twice, and both of its workers are alive")
            self._began.add((claim.id, claim.fence))
            worker.running.append(claim)
            self._tell([claim.id])

    def finish(self, worker: Worker) -> None:
        """Let bodies end, by success or otherwise."""
        now = self._database.time.seconds
        for claim in self._some(worker.running):
            worker.running.remove(claim)
            outcome = self._outcome(claim)
            worker.ended.append(Ended(claim, outcome, now, now))
            self._tell([claim.id], type(outcome).__name__)

    def beat(self, worker: Worker) -> None:
        """Beat; who learns that it is dead lives anew, and its bodies go on."""
        if worker.id not in beat("default", {worker.id}):
            worker.inbox, worker.claims = [], []
            self._begin_life(worker)
            self.counts["lived anew"] += 1

    def judge(self, worker: Worker) -> None:
        condemned, self._suspected = judge("default", DEAD_AFTER, self._suspected, me=worker.id)
        self.counts["declared dead"] += len(condemned)
        self.counts["rescued"] += rescue_orphans("default")
        for each in condemned:
            self.transport.put_back(each)

    def reconcile(self, worker: Worker) -> None:
        count = give_back_unknown("default", worker.id, claims_in_hand(worker.claims))
        self.counts["given back unknown"] += count

    def sweep(self, worker: Worker) -> None:
        for _ in sweep("default", QUEUES):
            pass

    # What happens to them.

    def let_time_pass(self, worker: Worker) -> None:
        self._database.time.seconds += self.chance.choice((0.5, 2.0, 6.0))

    def pause(self, worker: Worker) -> None:
        worker.paused = True

    def resume(self, worker: Worker) -> None:
        worker.paused = False

    def crash(self, worker: Worker) -> None:
        """The process is gone. Half of the time its parent knows at once; else silence must tell."""
        former = worker.id
        begun = {claim.id for claim in worker.claims if (claim.id, claim.fence) in self._began}
        worker.inbox, worker.claims, worker.running, worker.ended = [], [], [], []
        if self.chance.random() < 0.5:
            self.counts["taken back by the parent"] += rescue_worker("default", former, begun=begun)
            self.transport.put_back(former)
        self._begin_life(worker)

    def forget_bells(self, worker: Worker) -> None:
        """The transport forgets, or says again all that it ever said."""
        self.chance.choice((lambda: self.transport.forget("default"), self.transport.repeat))()

    def cancel(self, worker: Worker) -> None:
        cancel(self._some(self._jobs[::EACH_CANCELLED]))

    # The parts of a step.

    def _some(self, all: Sequence[Item]) -> list[Item]:
        """Draw some of these, all of them often."""
        share = self.chance.choice((0.1, 0.4, 0.9))
        return [each for each in all if self.chance.random() < share]

    def _tell(self, ids: Iterable[UUID], what: str = "") -> None:
        for id in ids:
            self._told[id].append(f"{self.trace[-1]} {what}")

    def _outcome(self, claim: Claim) -> Outcome:
        if claim.id in self._atomic:
            return self._atomic_outcome(claim)
        may_retry = claim.attempt < claim.max_attempts
        failed: Outcome = Retried(ERROR, 1.0) if may_retry else Failed(ERROR)
        if claim.fence > 6:
            return Succeeded(str(claim.fence))
        return self.chance.choice((Succeeded(str(claim.fence)), failed, Snoozed(1.0), GivenBack(begun=True)))

    def _atomic_outcome(self, claim: Claim) -> Outcome:
        def body() -> Outcome:
            with self._database.wrapper.cursor() as cursor:
                cursor.execute("INSERT INTO effect VALUES (%s)", [claim.id.hex])
            return Succeeded(str(claim.fence))

        self._prepare_failure()
        try:
            return commit_together(claim, body)
        except OperationalError as error:
            return outcome_of(claim, error)

    def _prepare_failure(self) -> None:
        """Let the next commit fail, or happen while its answer gets lost; "locked" is what is tried again at once."""
        if self._happens(0.25, "a commit failed, or its answer was lost"):
            text = self.chance.choice(("database is locked", "the connection is lost"))
            self._database.failure = (text, self.chance.random() < 0.7)

    def _happens(self, share: float, what: str) -> bool:
        happens = self.chance.random() < share
        self.counts[what] += happens
        if happens:
            self.trace[-1] += f": {what}"
        return happens

    def _begin_life(self, worker: Worker) -> None:
        self._lives += 1
        worker.id, worker.batch = UUID(int=self._lives), 0
        now = f"{self._database.time.now():%Y-%m-%d %H:%M:%S.%f}"
        self._database.query(
            "INSERT INTO django_jobs_worker (id, host, pid, supervisor_pid, version, queues, names, concurrency, "
            "sandboxes, quiet, asked_to, started_at, beat_at, dead_at, died) "
            "VALUES (?, 'here', 1, 1, '', '[]', '[]', 1, '[]', 0, '', ?, ?, NULL, 0)",
            worker.id.hex,
            now,
            now,
        )

    def _is_alive(self, worker: UUID) -> bool:
        rows = self._database.query("SELECT 1 FROM django_jobs_worker WHERE id = ? AND dead_at IS NULL", worker.hex)
        return bool(rows)

    def _rows(self) -> dict[str, tuple[Any, ...]]:
        return {row[0]: row for row in self._database.query(f"SELECT {COLUMNS} FROM django_jobs_job")}

    def _look(self) -> None:
        """Compare the table with how it was before the step."""
        rows = self._rows()
        for id, row in rows.items():
            before = self._seen[id]
            if before[1] in ENDED and row != before:
                raise Violation(f"{before} had ended and is now {row}")
            if row[2] < before[2]:
                raise Violation(f"the fence of {before} fell: {row}")
            if row[2] == before[2] and row[1] == State.RUNNING != before[1]:
                raise Violation(f"{row} runs without a claim, and was {before}")
            if row != before:
                self._told[UUID(id)].append(f"{self.trace[-1]} {row[1:6]}")
        self._seen = rows

    def _heal(self) -> None:
        """All faults are over: let everybody do what is to do until nothing is left."""
        self.trace.append("healed")
        self.transport.loss = 0.0
        for each in self._workers:
            each.paused = False
        for _ in range(ROUNDS):
            if all(row[1] in ENDED for row in self._rows().values()):
                break
            self._database.time.seconds += 3.0
            for worker in self._workers:
                self._heal_one(worker)
        for worker in self._workers:
            # What they hold of long ago is written too late, or not at all.
            worker.ended += [Ended(claim, Succeeded("zombie")) for claim in worker.running]
            settle_and_claim("default", worker.ended, list)
            self._look()

    def _heal_one(self, worker: Worker) -> None:
        self.beat(worker)
        self.judge(worker)
        self.reconcile(worker)
        self.sweep(worker)
        self._do_calmly(worker)
        self._look()

    def _do_calmly(self, worker: Worker) -> None:
        taken = self.transport.take(worker.id, QUEUES, JOBS, self._database.time.now(), worker.batch)
        worker.batch += 1

        def claim() -> list[Claim]:
            claims = claim_ids("default", worker.id, taken.ids, NAMES)
            return claims + claim_due("default", worker.id, QUEUES, JOBS, NAMES, suspect=True)

        now = self._database.time.seconds
        bodies = [*worker.running, *(each for each in worker.claims if each not in worker.running)]
        ended = {(each.claim.id, each.claim.fence) for each in worker.ended}
        for each in bodies:
            if (each.id, each.fence) not in ended:
                worker.ended.append(Ended(each, self._calm_outcome(each), now, now))
        _, worker.claims = settle_and_claim("default", worker.ended, claim)
        worker.ended, worker.running, worker.inbox = [], [], []

    def _calm_outcome(self, claim: Claim) -> Outcome:
        if claim.id not in self._atomic:
            return Succeeded(str(claim.fence))

        def body() -> Outcome:
            with self._database.wrapper.cursor() as cursor:
                cursor.execute("INSERT INTO effect VALUES (%s)", [claim.id.hex])
            return Succeeded(str(claim.fence))

        return commit_together(claim, body)

    def _judge_the_end(self) -> None:
        effects = Counter(job for (job,) in self._database.query("SELECT job_id FROM effect"))
        for id, state, fence, attempt, starts, stalls, max_attempts, owner, _, _ in self._rows().values():
            name = self._names[UUID(id)]
            if state not in ENDED:
                raise Violation(f"{name} is {state} and never ends")
            if attempt > max_attempts or starts > fence or stalls > MAX_STALLS + 1:
                raise Violation(f"{name} ended with {attempt=}, {starts=}, {stalls=}, {fence=}")
            if state == State.SUCCESSFUL and owner is None:
                raise Violation(f"{name} was run by nobody")
            if UUID(id) in self._atomic and effects[id] != (state == State.SUCCESSFUL):
                raise Violation(f"{name} is {state} and has {effects[id]} effects")
