"""Django settings of every peer that needs Django, and of ours; the environment says which apps and which servers."""

import json
import os

from tests.databases import databases

REDIS = os.environ.get("BENCHMARK_REDIS", "")
OPTIONS = json.loads(os.environ.get("BENCHMARK_OPTIONS", "{}"))

SECRET_KEY = "only for benchmarks"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# A connection for each job would be the cost of the setting, not of the system.
DATABASES = {"default": {**databases("benchmarks")["default"], "CONN_MAX_AGE": 600}}
DATABASES["default"]["OPTIONS"] |= OPTIONS.get("database", {})
INSTALLED_APPS = [*OPTIONS.get("apps", ()), "tests.benchmarks"]
# What one system or another wants to be told.
for _name, _value in OPTIONS.get("settings", {}).items():
    globals()[_name] = json.loads(json.dumps(_value).replace("{redis}", REDIS))
