"""One turn of a worker's work in the thread of the test, for what only has to have run."""

from itertools import groupby

from asgiref.sync import async_to_sync

from django_jobs.definitions.outcomes import Ended
from django_jobs.definitions.registry import get_spec, job_names, queue_names
from django_jobs.execution.batches import aexecute_together, execute_together
from django_jobs.lifecycle.settling import settle
from django_jobs.transitions.claiming import claim_due
from django_jobs.transitions.transactions import in_transaction
from tests.rows import worker

AT_ONCE = 10_000


def run_due_jobs() -> list[Ended]:
    """Run each job once that is due, those of one name in one batch if they run in batches; return their ends."""
    me = worker()
    claims = in_transaction("default", lambda: claim_due("default", me, queue_names(), AT_ONCE, job_names()))
    ended = []
    for name, same in groupby(sorted(claims, key=lambda claim: claim.name), lambda claim: claim.name):
        spec, members = get_spec(name), list(same)
        execute = async_to_sync(aexecute_together) if spec.is_async else execute_together
        for batch in [members] if spec.batch else [[claim] for claim in members]:
            ended += [Ended(*each, 0.0, 0.0) for each in zip(batch, execute(batch), strict=True)]
    settle("default", ended)
    return ended
