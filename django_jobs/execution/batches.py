"""One body for many claims: they go in together, and an outcome comes out for each."""

import asyncio
from collections.abc import Callable, Sequence

from django_jobs.definitions.arguments import decode_call
from django_jobs.definitions.outcomes import Claim, Failed, GivenBack, Outcome
from django_jobs.definitions.registry import get_spec
from django_jobs.errors import InvalidArguments
from django_jobs.execution.cancelling import TaskBody
from django_jobs.execution.context import as_current
from django_jobs.execution.execute import (
    aexecute,
    execute,
    facts_of,
    hopeless,
    must_not_begin,
    outcome_of,
    outcome_of_cancellation,
    report_of,
    succeeded,
)
from django_jobs.execution.items import BatchItem
from django_jobs.execution.timeouts import call_in_time, in_time
from django_jobs.middleware import around

# No claim has such a fence, so nobody can cancel the task for the sake of one item.
NO_FENCE = 0


def execute_together(claims: Sequence[Claim]) -> list[Outcome]:
    """Run the one `def` body of these claims in this thread and return what each came to, in their order."""
    spec = get_spec(claims[0].name)
    if spec.batch is None:
        return [execute(claims[0])]
    members = Members(claims)
    if members.items:
        try:
            with as_current(tuple(members.items)), around(members.first):
                members.succeed(call_in_time(members.claims, spec.function, list(members.items)))
        except BaseException as error:  # SystemExit too: a body must not end the worker
            members.fail(_by(error))
    return members.outcomes()


async def aexecute_together(claims: Sequence[Claim]) -> list[Outcome]:
    """Run the one `async def` body of these claims on this loop; see `execute_together`."""
    spec = get_spec(claims[0].name)
    if spec.batch is None:
        return [await aexecute(claims[0])]
    members = Members(claims)
    if members.items:
        body = TaskBody((claims[0].id, NO_FENCE))
        try:
            with as_current(tuple(members.items)):
                async with around(members.first):
                    with body, in_time(members.claims, body):
                        value = await spec.function(list(members.items))
            members.succeed(value)
        except asyncio.CancelledError as error:
            cancelled = error
            members.fail(lambda claim: outcome_of_cancellation(claim, body, cancelled))
        except BaseException as error:
            members.fail(_by(error))
    return members.outcomes()


class Members:
    """The claims of a batch that may begin, as items of its body, and what became of all."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self._all = claims
        self._ends: dict[Claim, Outcome] = {}
        self.claims: list[Claim] = []
        self.items: list[BatchItem] = []
        for claim in claims:
            self._prepare(claim)

    def first(self) -> BatchItem:
        """Return the item that stands for all, where only one can."""
        return self.items[0]

    def succeed(self, value: object) -> None:
        """Learn what the body returned: nothing, or a list with the result of each item in order."""
        if value is None:
            value = [None] * len(self.items)
        if isinstance(value, list | tuple) and len(value) == len(self.items):
            results = dict(zip(self.claims, value, strict=True))
            self._end(lambda claim: succeeded(results[claim]))
            return
        told = f"{len(value)} of them" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
        error = InvalidArguments(
            f"The body of {self.claims[0].name} must return None, or a list of {len(self.items)} results, one for each "
            f"item; it returned {told}."
        )
        self._end(lambda claim: hopeless(error))

    def fail(self, outcome: Callable[[Claim], Outcome]) -> None:
        """Learn that the body did not end well."""
        self._end(outcome)

    def outcomes(self) -> list[Outcome]:
        return [self._ends[claim] for claim in self._all]

    def _prepare(self, claim: Claim) -> None:
        if must_not_begin(claim):
            self._ends[claim] = GivenBack()
            return
        try:
            item = BatchItem(**facts_of(claim, *decode_call(claim.arguments)))
        except Exception as error:
            self._ends[claim] = hopeless(error)
            return
        self.claims.append(claim)
        self.items.append(item)

    def _end(self, otherwise: Callable[[Claim], Outcome]) -> None:
        """Write down how each item ends: as the body said of it, or else as all do."""
        for claim, item in zip(self.claims, self.items, strict=True):
            end = item._end
            end.is_closed = True
            if end.error is None:
                self._ends[claim] = otherwise(claim)
            elif end.may_retry:
                self._ends[claim] = outcome_of(claim, end.error)
            else:
                self._ends[claim] = Failed(report_of(end.error))


def _by(error: BaseException) -> Callable[[Claim], Outcome]:
    return lambda claim: outcome_of(claim, error)
