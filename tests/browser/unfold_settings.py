"""Settings of a project whose admin is django-unfold's. Its own scripts break the strict policy of the other tests."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = ["unfold", *INSTALLED_APPS]
MIDDLEWARE = [each for each in MIDDLEWARE if each != "tests.project.security.strict_policy"]
