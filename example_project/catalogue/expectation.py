"""What should have come out? Told by a plain loop over the same files, without any job."""

import ast
import tokenize
from collections.abc import Iterator
from pathlib import Path

from catalogue.discovery import Installed, digest_of
from catalogue.jobs import measure_file
from catalogue.models import Distribution
from django_jobs import Job


def broken(path: Path) -> bool:
    """Tell whether a file cannot be parsed."""
    try:
        with tokenize.open(path) as file:
            ast.parse(file.read())
    except SyntaxError:
        return True
    return False


def differences(found: Installed) -> Iterator[str]:
    """Compare the jobs and the summary of a distribution with its files; yield what is not as it should be."""
    states = dict(Job.objects.filter(name=measure_file.name).values_list("idempotency_key", "state"))
    failures = 0
    for path in found.files:
        is_broken = broken(path)
        failures += is_broken
        state, expected = states.get(digest_of(path, path.read_bytes())), "failed" if is_broken else "successful"
        if state != expected:
            yield f"The job of {path} should be {expected} and is {state}."
    yield from _differences_of_summary(found, failures)


def _differences_of_summary(found: Installed, failures: int) -> Iterator[str]:
    summary = Distribution.objects.filter(name=found.name).first()
    if summary is None or not summary.is_summarised:
        yield f"{found.name} {found.version} has no summary."
    elif (summary.file_count, summary.broken_count) != (len(found.files), failures):
        yield (
            f"{summary} should have {len(found.files)} files, {failures} of them broken, "
            f"and has {summary.file_count}, {summary.broken_count} of them broken."
        )
