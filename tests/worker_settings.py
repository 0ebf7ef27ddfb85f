"""Settings of the workers that tests start: without the admin and what only it needs they start in half the time."""

from tests.settings import *  # noqa: F403

INSTALLED_APPS = ["django_jobs", "catalogue", "tests.project"]
