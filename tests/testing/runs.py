"""Runs of pytest beside this one, as a project that uses the package would start them."""

import os
import subprocess
import sys
from pathlib import Path

from tests.databases import VARIABLES

ROOT = Path(__file__).parents[2]


def run_pytest(folder: Path, tests: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run tests in a folder, on a database of their own, with the plugin that an installed package brings."""
    path = folder / "test_theirs.py"
    path.write_text(tests)
    (folder / "pytest.ini").write_text("[pytest]\n")
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DJANGO_JOBS_TEST_"))
    }
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    environment = {
        VARIABLES["default"]: os.environ[VARIABLES["default"]],
        "DJANGO_JOBS_TEST_RUN": f"{os.environ['DJANGO_JOBS_TEST_RUN']}{worker}theirs",
        "DJANGO_JOBS_TEST_OPTIONS": '{"TRANSPORT": "memory:"}',
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(ROOT)]),
    }
    # The plugin by its name, whether the package is installed here or not; and what the package's own run leaves out.
    command = [sys.executable, "-m", "pytest", "-p", "django_jobs.testing.pytest_plugin", "-p", "no:django_jobs"]
    command += ["-p", "no:valkey", "-W", "error", "-q", *arguments, path.name]
    return subprocess.run(command, cwd=folder, env=inherited | environment, capture_output=True, text=True, check=False)
