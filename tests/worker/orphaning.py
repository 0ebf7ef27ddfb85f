"""A job that leaves an orphan behind: a process whose parent has ended."""

import subprocess

from django_jobs import job


@job
def leave_an_orphan() -> int:
    """Return the id of a process that ends a little later, without a parent."""
    answer = subprocess.run(["sh", "-c", "sleep 0.2 & echo $!"], stdout=subprocess.PIPE, check=True)
    return int(answer.stdout.split()[0])
