"""Django signals, the only event bus inside a process. All are sent after the commit that they report.

Sender is always the `JobFunction`'s `JobSpec`, or None where the name is not registered here.
"""

from django.dispatch import Signal

# jobs: list of Job, stored by one call, whose transaction has committed.
jobs_enqueued = Signal()

# claim: Claim; outcome: Outcome; state: State of the job now; seconds: float that the body ran. One attempt came to an
# end, whatever it was.
attempt_ended = Signal()

# claim: Claim; error: ErrorReport. The job failed and will not run again by itself.
job_failed = Signal()

# worker_id: UUID; rescued: int. The jobs of a dead worker were taken from it.
worker_died = Signal()
