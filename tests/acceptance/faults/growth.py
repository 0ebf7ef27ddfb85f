"""A worker that runs very many jobs has no more memory, descriptors and threads in the end than at the beginning."""

import random
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from django_jobs import enqueue_many
from django_jobs.models import Job, Worker
from tests.acceptance.faults.stage import Stage
from tests.project.jobs import add
from tests.waiting import wait_until

BATCH, AHEAD = 1_000, 4_000
# Until then caches fill, and the allocator finds its size.
WARM_UP = 50_000
MOST_BYTES = 5 * 1024 * 1024
# A connection to Redis is opened when two threads first ask at the same time, so at most one for each service.
LATE_CONNECTIONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    jobs: int
    memory: int
    descriptors: int
    threads: int

    def __str__(self) -> str:
        return f"{self.jobs:9} jobs{self.memory / 1024:10.0f} KB{self.descriptors:5} files{self.threads:5} threads"


def size_of(pid: int, jobs: int) -> Size:
    """Return what a process has of its own now."""
    process = Path(f"/proc/{pid}")
    fields = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return Size(
        jobs=jobs,
        # What it shares with others, such as files that are mapped, comes and goes with them.
        memory=int(fields["RssAnon"].split()[0]) * 1024,
        descriptors=len(list((process / "fd").iterdir())),
        threads=int(fields["Threads"]),
    )


def run(stage: Stage, jobs: int, every: int) -> dict[str, list[Size]]:
    """Run so many empty jobs through one child; return its sizes, and its supervisor's, after every so many."""
    (workers,) = stage.fleet.living
    (child,) = stage.fleet.children(workers)
    sizes: dict[str, list[Size]] = {"worker": [], "supervisor": []}
    done = 0
    while done < jobs:
        fill(min(AHEAD, jobs - done))
        done += clear()
        if done >= every * (len(sizes["worker"]) + 1) or done >= jobs:
            for name, pid in (("worker", child.pid), ("supervisor", workers.process.pid)):
                sizes[name].append(size_of(pid, done))
                print(f"{name:12}{sizes[name][-1]}", flush=True)
    assert [each.pk for each in Worker.objects.all()] == [child.pk], "It was not one worker that did it all."
    return sizes


def fill(wanted: int) -> None:
    """Have so many jobs wait, in calls of BATCH."""
    missing = wanted - Job.objects.alive().count()
    for start in range(0, missing, BATCH):
        enqueue_many(add.request(1, 1) for _ in range(min(BATCH, missing - start)))


def clear() -> int:
    """Wait until most have ended, and remove those: the table shall not be what grows. Return how many."""
    wait_until(lambda: Job.objects.alive().count() <= BATCH)
    ended = Job.objects.successful()
    return int(ended._raw_delete("default") or 0)


def measure(kind: str, jobs: int) -> int:
    """Measure, print, and return the exit status: 1 if anything grew."""
    begun = monotonic()
    with Stage(kind, random.Random(0), size=1, arguments=("--concurrency", "4")) as stage:
        try:
            sizes = run(stage, jobs, WARM_UP)
        except BaseException:
            print(stage.output())
            raise
    grown = [line for name, some in sizes.items() for line in growth(name, some)]
    print(f"{jobs} jobs in {monotonic() - begun:.0f} s. {'; '.join(grown) or 'Nothing grew.'}")
    return int(bool(grown))


def growth(name: str, sizes: list[Size]) -> list[str]:
    """Return what grew between the first size and the last one."""
    first, last = sizes[0], sizes[-1]
    found = []
    if last.memory - first.memory > MOST_BYTES:
        found.append(f"the {name}'s memory grew by {(last.memory - first.memory) / 1024:.0f} KB")
    if last.descriptors > first.descriptors + LATE_CONNECTIONS:
        found.append(f"the {name} has {last.descriptors - first.descriptors} more open files")
    if last.threads > first.threads:
        found.append(f"the {name} has {last.threads - first.threads} more threads")
    return found
