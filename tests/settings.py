"""Settings of the test project. What servers it uses is said by the environment; the README lists the variables."""

import json
import os
import sys
import tempfile
import uuid
from pathlib import Path

import django

from tests.databases import REPLICA, databases, replica

# Workers are started with this environment, so that they share the run's names. Each process of pytest-xdist is a run
# of its own.
os.environ.setdefault("DJANGO_JOBS_TEST_RUN", uuid.uuid4().hex[:12])
RUN = os.environ["DJANGO_JOBS_TEST_RUN"] + os.environ.get("PYTEST_XDIST_WORKER", "")
os.environ.setdefault("DJANGO_JOBS_TEST_DATABASE", f"sqlite://{tempfile.gettempdir()}/django_jobs-{RUN}.sqlite3")
REDIS = os.environ.get("DJANGO_JOBS_TEST_REDIS")

# The example's app is tested here as well: on the databases and transports that the environment names.
sys.path.append(str(Path(__file__).parents[1] / "example_project"))

# Workers have settings of their own, and share the embedded server of the tests.
BASE_DIR = Path(__file__).parents[1]
SECRET_KEY = "only for tests"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ALLOWED_HOSTS = ["*"]

DATABASES = {**databases(RUN), REPLICA: replica()}
DATABASE_ROUTERS = ["tests.databases.Replicas"]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
if REDIS:
    CACHES["redis"] = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": REDIS}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_jobs",
    "catalogue",
    "tests.project",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "tests.project.security.strict_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
TASKS = {"default": {"BACKEND": "django_jobs.backend.JobsBackend", "QUEUES": ["default", "mail"]}}
if django.VERSION < (6, 0):
    INSTALLED_APPS.append("django_tasks")
ROOT_URLCONF = "tests.project.urls"
STATIC_URL = "static/"

# Workers that are to say all that they do.
if level := os.environ.get("DJANGO_JOBS_TEST_LOG"):
    LOGGING = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "loggers": {"django_jobs": {"handlers": ["console"], "level": level}},
    }

DJANGO_JOBS = {
    "TRANSPORT": REDIS or "embedded:",
    "PREFIX": f"test_{RUN}",
    # A worker that dies is noticed while the test still waits.
    "HEARTBEAT_SECONDS": 0.3,
    "DEAD_AFTER_SECONDS": 1.5,
    "GRACE_SECONDS": 5.0,
    **json.loads(os.environ.get("DJANGO_JOBS_TEST_OPTIONS", "{}")),
}
