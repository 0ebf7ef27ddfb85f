"""Django's own tests of its Tasks framework, out of the source distribution of the Django that is installed."""

import fcntl
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import django

# Before 6.0 there is only the backport, whose source distribution has no tests: those that Django took over from it.
VERSION = django.__version__ if django.VERSION >= (6, 0) else "6.0.10"
FOLDER = "tests/tasks"
# What becomes of the tests when they are copied.
_ALWAYS = {
    # They use the database now.
    "django.test import SimpleTestCase": "django.test import TestCase as SimpleTestCase",
    # The backport has other names for some of them.
    "from django.tasks.exceptions import": "from django_jobs.compat import",
}
_BACKPORT = {
    "django.tasks": "django_tasks",
    # Its next release has Django's message.
    "Backend does not support async Tasks.": "Backend does not support async tasks.",
}
JOBS = {
    "from django.tasks.backends.dummy import DummyBackend": (
        "from tests.backend.recorded import RecordedBackend as DummyBackend"
    ),
    "django.tasks.backends.dummy.DummyBackend": "tests.backend.recorded.RecordedBackend",
}
TWINS = {
    "from django.tasks.backends.dummy import": "from django_jobs.testing import",
    "from django.tasks.backends.immediate import": "from django_jobs.testing import",
    "django.tasks.backends.dummy.DummyBackend": "django_jobs.testing.DummyBackend",
    "django.tasks.backends.immediate.ImmediateBackend": "django_jobs.testing.ImmediateBackend",
}


def archive() -> Path:
    """Return the source distribution, fetched from the index unless it was before. Raises CalledProcessError."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "django_jobs"
    cache.mkdir(parents=True, exist_ok=True)
    found = cache / f"django-{VERSION}.tar.gz"
    with (cache / "lock").open("w") as lock, TemporaryDirectory(dir=cache) as folder:
        # The processes of a run all ask for it at once, and one fetches it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists():
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
            # Only read, never installed: a Python that this Django has left behind will do.
            command = [*pip, "--ignore-requires-python", "--dest", folder, f"django=={VERSION}"]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
            (Path(folder) / found.name).rename(found)
    return found


def copy(archive: Path, target: Path, changes: dict[str, str]) -> None:
    """Copy the tests into the folder `tasks` of the target, with these texts changed."""
    package = target / "tasks"
    package.mkdir()
    changes = {**changes, **_ALWAYS, **({} if django.VERSION >= (6, 0) else _BACKPORT)}
    with tarfile.open(archive) as members:
        for member in members:
            name = member.name.partition("/")[2]
            if name.startswith(f"{FOLDER}/") and name.endswith(".py"):
                file = members.extractfile(member)
                assert file is not None
                text = file.read().decode()
                for old, new in changes.items():
                    text = text.replace(old, new)
                (package / Path(name).name).write_text(text)
