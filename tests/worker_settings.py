"""Settings of the workers that tests start: without the admin and what only it needs they start in half the time."""

from tests.settings import *  # noqa: F403

NEEDED = {"django_jobs", "django_tasks", "catalogue", "tests.project"}
INSTALLED_APPS = [app for app in INSTALLED_APPS if app in NEEDED]  # noqa: F405
