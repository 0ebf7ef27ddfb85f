"""What the declared jobs say."""

from typing import Any

from django.core.checks import CheckMessage

from django_jobs.check_messages import error, info
from django_jobs.conf import SETTING, get_settings
from django_jobs.definitions.registry import get_spec, job_names, replaced
from django_jobs.definitions.requests import timeout_of
from django_jobs.errors import ConfigurationError, InvalidOption


def check_names(**kwargs: Any) -> list[CheckMessage]:
    """Ask for functions that took the place of others in silence; of two modules one is refused at once."""
    return [
        error(
            "E017",
            f"Two functions are the job {name!r}: {path} is declared twice, and every job of this name runs the one "
            "that came last.",
            "Give one of them another name, or its own @job(name=...).",
        )
        for name, path in sorted(replaced().items())
    ]


def check_timeouts(**kwargs: Any) -> list[CheckMessage]:
    """Compare how long bodies may take with how long a stopping worker waits for them."""
    try:
        settings = get_settings()
        timeouts = {spec.name: timeout_of(spec, settings) for spec in map(get_spec, job_names())}
    except (ConfigurationError, InvalidOption):
        return []
    grace = settings.GRACE_SECONDS
    longer = [
        f"{name} ({seconds:g} s)" for name, seconds in timeouts.items() if seconds is not None and seconds > grace
    ]
    if not longer:
        return []
    return [
        info(
            "I002",
            f"These jobs may take longer than a stopping worker waits, {grace:g} s: {', '.join(longer)}.",
            "At a deploy they may be handed back in the middle and start again elsewhere. Raise "
            f"{SETTING}['GRACE_SECONDS'] and the patience of your process manager, or see that they can start again.",
        )
    ]
