"""Each line that ends in comments is a mistake that both checkers must find: a comment without one is an error too.

Never run. What has no comment is right, and shows that the line below fails for the reason given.
"""

from datetime import date

from django_jobs import Batch, Job, JobFunction, Sandbox, enqueue_many, job
from django_jobs.testing import drain
from tests.typed import jobs, tasks

# Arguments
jobs.add.enqueue("1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
jobs.add.enqueue()  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
jobs.add.enqueue(1, three=3)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
jobs.add.using(priority=1).enqueue("1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
jobs.add.request(1, two="2")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
jobs.add(None)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
jobs.price.enqueue("you", "2026-01-02")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
jobs.price.enqueue(day=date(2026, 1, 2))  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
jobs.guarded.enqueue(b"a")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
jobs.count.enqueue(["1"])  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
# The worker passes the context, not the caller.
jobs.look_twice.enqueue(None, "a")  # type: ignore[call-arg, arg-type] # pyright: ignore[reportCallIssue]
enqueue_many([jobs.add])  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
drain(until="tomorrow")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
tasks.greet.enqueue(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

# Options
jobs.add.using(max_atempts=3)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
jobs.add.using(timeout="30")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
jobs.add.using(metadata={"tags": ["a"]})  # type: ignore[dict-item] # pyright: ignore[reportArgumentType]
# These go on @job alone.
jobs.add.using(sandbox=True)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
jobs.add.using(retry_on=OSError)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
jobs.add.using(backoff=jobs.wait_longer)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
job(max_attempts="3")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
job(timeuot=3)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
job(sandbox=Sandbox, retry_on=OSError)  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]


# Results
total: str = jobs.add.enqueue(1).wait()  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
maybe: str = jobs.introduce.enqueue().wait()  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
added: Job[str] = jobs.add.enqueue(1)  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
named: int = jobs.price.get_result("1").return_value  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
text: JobFunction[..., str] = jobs.add  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
# What a row that was looked up returns is not known.
unknown: int = Job.objects.get(pk="1").wait()  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]


async def look(thinking: Job[bool]) -> str:
    return await thinking.await_result()  # type: ignore[return-value] # pyright: ignore[reportReturnType]


def without_context() -> None: ...


# Functions that cannot be what their decorator says
job(takes_context=True)(without_context)  # type: ignore[arg-type] # pyright: ignore[reportCallIssue, reportArgumentType]
job(batch=Batch())(without_context)  # type: ignore[arg-type] # pyright: ignore[reportCallIssue, reportArgumentType]
