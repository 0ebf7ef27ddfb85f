"""In the admin of django-unfold, which brings templates of its own, the pages render and the verbs work."""

import os
import subprocess
import sys
from pathlib import Path

ADMIN = Path(__file__).parents[1] / "admin"
# Stories that say what pages show and what verbs do, but nothing of the markup around them.
STORIES = ("test_job_list", "test_queues", "test_steering_workers", "test_verbs", "test_workers")
EVERY_PAGE = f"{ADMIN}/test_policy.py::test_every_verb_is_a_real_button_in_a_form"


def test_the_stories_of_the_admin_hold_there_too(group, tmp_path):
    stories = [EVERY_PAGE, *(f"{ADMIN}/{story}.py" for story in STORIES)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--ds=tests.browser.unfold_settings", *stories],
        cwd=ADMIN.parents[1],
        env={**os.environ, "DJANGO_JOBS_TEST_DATABASE": f"sqlite://{tmp_path}/jobs.sqlite3", "PYTEST_ADDOPTS": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
