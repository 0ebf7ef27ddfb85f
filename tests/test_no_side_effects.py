"""To install the app changes nothing for the rest of the process: no handler, no thread, no filter, no variable.

That it connects to nothing either is shown in tests/checks/test_connects_to_nothing.py.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import django_jobs

pytestmark = pytest.mark.once

PROGRAM = """
import asyncio, atexit, decimal, locale, logging, multiprocessing, os, pkgutil, signal, sys, threading, warnings
import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
                    "django.contrib.messages", "django.contrib.sessions", "django_jobs"],
    DJANGO_JOBS={"TRANSPORT": "redis://127.0.0.1:1/0"},
    LOGGING_CONFIG=None,
    TIME_ZONE="UTC",
    USE_TZ=True,
)
os.environ["TZ"] = "UTC"  # as Django itself does

def state():
    return {
        "signals": {each: signal.getsignal(each) for each in signal.valid_signals()},
        "threads": [each.name for each in threading.enumerate()],
        "logging": [(name, logging.getLogger(name).handlers[:], logging.getLogger(name).level)
                    for name in (None, "django", "django_jobs")],
        "raised by logging": logging.raiseExceptions,
        "warnings": warnings.filters[:],
        "variables": dict(os.environ),
        "path": sys.path[:],
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.breakpointhook),
        "switches": (sys.getswitchinterval(), sys.getrecursionlimit(), sys.gettrace(), sys.getprofile()),
        "locale": locale.setlocale(locale.LC_ALL),
        "start method": multiprocessing.get_start_method(allow_none=True),
        "decimals": str(decimal.getcontext()),
        "exits": atexit._ncallbacks(),
        "directory": os.getcwd(),
        "umask": (os.umask(0o22), os.umask(0o22))[0],
    }

# What the modules of others do is their business: redis, Django and the standard library come first.
import concurrent.futures.thread, concurrent.futures.process, logging.handlers, redis.asyncio, unittest.mock
import django.test, django.contrib.admin, django.core.management
before = state()
django.setup()
import django_jobs
for module in pkgutil.walk_packages(django_jobs.__path__, "django_jobs."):
    if ".migrations" not in module.name and ".backend" not in module.name and ".testing" not in module.name:
        __import__(module.name)
after = state()
print({name: (before[name], after[name]) for name in before if before[name] != after[name]})
"""


def test_nothing_of_the_process_is_changed(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(django_jobs.__file__).parents[1])}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "{}"
