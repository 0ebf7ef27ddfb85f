"""Where bodies run: `def` in threads, `async def` on one event loop, others in sandboxes. Each starts when needed."""

from collections.abc import Sequence

from django_jobs import clock
from django_jobs.definitions.outcomes import Claim
from django_jobs.definitions.registry import get_spec
from django_jobs.worker.board import Board
from django_jobs.worker.loop_pool import LoopPool
from django_jobs.worker.sandbox.pool import IDLE_SECONDS as SANDBOX_IDLE_SECONDS
from django_jobs.worker.sandbox.pool import Sandboxes
from django_jobs.worker.slots import Done, Holds, Together
from django_jobs.worker.thread_pool import ThreadPool


class Pools:
    """Runs claims, up to `concurrency` of each kind at once, and hands each outcome to `done`."""

    def __init__(self, concurrency: int, board: Board, done: Done, holds: Holds) -> None:
        self.threads = ThreadPool(concurrency, board, 0, done, holds)
        self.loop = LoopPool(concurrency, board, 1, done, holds)
        self.sandboxes = Sandboxes(board, done, holds)
        self.escorts = ThreadPool(
            concurrency,
            board,
            2,
            done,
            holds,
            run_one=self._escort,
            on_idle=self.sandboxes.retire_idle,
            idle_seconds=SANDBOX_IDLE_SECONDS,
        )
        self._all = (self.threads, self.loop, self.escorts)

    def resize(self, concurrency: int) -> None:
        """Run so many of each kind at once from now on; what runs beyond that may end."""
        for pool in self._all:
            pool.resize(concurrency)

    def start(self, claims: Sequence[Claim]) -> None:
        """Queue claims; each starts as soon as there is a place."""
        bodies: dict[ThreadPool | LoopPool, list[Together]] = {}
        for claim in claims:
            bodies.setdefault(self._pool_of(claim.name), []).append((claim,))
        for pool, waiting in bodies.items():
            pool.put(waiting)

    def start_together(self, claims: Together) -> None:
        """Queue claims of one body."""
        self._pool_of(claims[0].name).put([claims])

    def _pool_of(self, name: str) -> ThreadPool | LoopPool:
        spec = get_spec(name)
        return self.escorts if spec.sandbox is not None else self.loop if spec.is_async else self.threads

    def _escort(self, slot: int, claims: Together) -> None:
        (claim,) = claims
        self.sandboxes.run_one(slot, claim)

    def withdraw(self) -> list[Claim]:
        """Return the claims whose bodies have not begun; they will not begin here."""
        return [claim for pool in self._all for claim in pool.withdraw()]

    def withdraw_if_stuck(self, seconds: float) -> list[Claim]:
        """Return what waits behind bodies that turned out to be slow: nothing has started for so long."""
        return [
            claim for pool in self._all if clock.monotonic() - pool.last_start > seconds for claim in pool.withdraw()
        ]

    def runnable(self, names: list[str]) -> list[str]:
        """Return those of the jobs that can run here now."""
        return self.sandboxes.runnable(names)

    def cut_off(self) -> None:
        """Cancel the coroutines that run and end the bodies in sandboxes; threads cannot be ended."""
        self.loop.cancel()
        self.sandboxes.cut_off()

    def stop(self) -> None:
        """End what is idle; bodies that run are not waited for."""
        for pool in self._all:
            pool.stop()
        self.sandboxes.stop()
