"""What DJANGO_JOBS["QUEUES"] says of a queue itself, beside the options of its jobs."""

from typing import Any

from django_jobs.conf import SETTING, JobsSettings
from django_jobs.definitions.durations import seconds
from django_jobs.errors import InvalidOption

# Names of settings that are no options of jobs.
OF_THE_QUEUE = frozenset({"ageing"})


def job_values(settings: JobsSettings, queue_name: str) -> dict[str, Any]:
    """Return what a queue says of its jobs, by the names of their options."""
    return {name: value for name, value in _values(settings, queue_name).items() if name not in OF_THE_QUEUE}


def ageing(settings: JobsSettings, queue_name: str) -> float | None:
    """Return after how many seconds of waiting a job rises by one priority, None for never. Raises InvalidOption."""
    value = _values(settings, queue_name).get("ageing")
    if value is None:
        return None
    whose = f"{SETTING}['QUEUES'][{queue_name!r}]['AGEING']"
    result = seconds(value, option=whose)
    if result < 1:
        raise InvalidOption(f"{whose} must be a second at least, not {value!r}.")
    return result


def _values(settings: JobsSettings, queue_name: str) -> dict[str, Any]:
    return {str(name).lower(): value for name, value in settings.QUEUES.get(queue_name, {}).items()}
