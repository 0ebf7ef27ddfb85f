"""The jobs: scan what is installed, measure each file, summarise each distribution when its files are done."""

from dataclasses import asdict
from pathlib import Path

from django.db import transaction
from django.db.models import Count, Max, Q, Sum
from django.db.models.functions import Coalesce
from django.utils.timezone import now

from catalogue.discovery import Installed, digest_of, installed
from catalogue.measuring import measure
from catalogue.models import MEASURES, Distribution, SourceFile
from django_jobs import CancelJob, enqueue_many, job


@job
def scan(only: list[str] | None = None) -> dict[str, int]:
    """Find the Python files that are installed here and enqueue a job for each that was not measured before."""
    names, files, new = [], 0, 0
    for found in installed(only or ()):
        names.append(found.name)
        files += len(found.files)
        new += record(found)
        summarise_when_complete(Distribution.objects.get(name=found.name))
    if not only:
        forget_all_but(names)
    return {"distributions": len(names), "files": files, "new": new}


@job(idempotency_key=lambda path, digest: digest)
def measure_file(path: str, digest: str) -> None:
    """Measure one content of one file. A file that does not parse fails its job."""
    content = Path(path).read_bytes()
    if digest_of(Path(path), content) != digest:
        raise CancelJob("The file has changed since it was scanned. The next scan enqueues it anew.")
    broken = None
    try:
        measures = {"error": "", **asdict(measure(Path(path), content))}
    except Exception as error:
        broken, measures = error, {"error": str(error).partition("\n")[0][:500]}
    SourceFile.objects.filter(digest=digest).update(measured_at=now(), **measures)
    distribution = Distribution.objects.filter(files=digest).first()
    if distribution is not None:
        summarise_when_complete(distribution)
    if broken is not None:
        raise broken


@job
def summarise_distribution(name: str, edition: int) -> None:
    """Add up the measures of all files of a distribution."""
    with transaction.atomic():
        # Two summaries of one distribution: whoever comes second waits here, and then reads what is newest.
        distribution = Distribution.objects.select_for_update().filter(name=name, edition=edition).first()
        if distribution is None:
            raise CancelJob("A newer scan has found other files.")
        totals = distribution.files.aggregate(
            file_count=Count("digest"),
            broken_count=Count("digest", filter=~Q(error="")),
            **{measure: Coalesce(Sum(measure), 0) for measure in MEASURES},
        )
        Distribution.objects.filter(pk=distribution.pk).update(summarised_edition=edition, **totals)


def summarise_when_complete(distribution: Distribution) -> None:
    """Enqueue the summary if no file is left to be measured. Call it after what you changed is committed.

    Of two jobs that measure the last two files at once, the one that looks later sees both files done; if both see
    it, both name the same moment in the idempotency key, and one summary is stored.
    """
    if distribution.files.filter(measured_at=None).exists():
        return
    latest = distribution.files.aggregate(at=Max("measured_at"))["at"]
    key = f"{distribution.name} {distribution.edition} {latest:%Y-%m-%d %H:%M:%S.%f}"
    summarise_distribution.using(idempotency_key=key).enqueue(distribution.name, distribution.edition)


def forget_all_but(names: list[str]) -> None:
    """Remove from the catalogue what is not installed any more; what its files measured stays."""
    Distribution.objects.exclude(name__in=names).delete()


def record(found: Installed) -> int:
    """Store the files of a distribution and enqueue their jobs, all or none; return how many jobs are new."""
    paths = {digest_of(path, path.read_bytes()): path for path in found.files}
    with transaction.atomic():
        distribution, _ = Distribution.objects.select_for_update().get_or_create(name=found.name)
        stored = SourceFile.objects.in_bulk(list(paths))
        own = set(distribution.files.values_list("digest", flat=True))
        if own != set(paths):
            distribution.edition += 1
            distribution.files.filter(digest__in=own - set(paths)).update(distribution=None)
            SourceFile.objects.filter(digest__in=stored.keys() - own).update(distribution=distribution)
            SourceFile.objects.bulk_create(
                SourceFile(digest=digest, path=str(path), distribution=distribution)
                for digest, path in paths.items()
                if digest not in stored
            )
        distribution.version = found.version
        distribution.save(update_fields=["edition", "version"])
        jobs = enqueue_many(measure_file.request(str(path), digest) for digest, path in paths.items())
    return sum(job.created for job in jobs)
