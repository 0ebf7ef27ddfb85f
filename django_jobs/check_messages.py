"""Messages of system checks: what is wrong, what to write instead, and where to read on."""

from django.core import checks
from django.core.checks import CheckMessage

# In the repository, until the pages have an address of their own. A section an id.
PAGE = "docs/checks.md"


def error(number: str, told: str, hint: str) -> CheckMessage:
    """Return a message about what cannot work."""
    return checks.Error(told, hint=_hint(number, hint), id=f"django_jobs.{number}")


def warning(number: str, told: str, hint: str) -> CheckMessage:
    """Return a message about what will disappoint."""
    return checks.Warning(told, hint=_hint(number, hint), id=f"django_jobs.{number}")


def info(number: str, told: str, hint: str) -> CheckMessage:
    """Return a message about what one may want to know."""
    return checks.Info(told, hint=_hint(number, hint), id=f"django_jobs.{number}")


def _hint(number: str, hint: str) -> str:
    return f"{hint} See {PAGE}#{number.lower()}"
