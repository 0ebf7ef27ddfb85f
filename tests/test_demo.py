"""manage.py demo, as the README's first command runs it: as a child, without a home, from anywhere."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

import django_jobs

pytestmark = pytest.mark.once

MANAGE = Path(__file__).parents[1] / "example_project" / "manage.py"
DEMO = [sys.executable, str(MANAGE), "demo", "--only", "aenum", "--only", "fissix"]
SECONDS = 60


@pytest.fixture
def folder():
    # Short: the embedded server's socket lies in it.
    with tempfile.TemporaryDirectory(prefix="demo-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture
def demo(folder):
    """Give `demo(*arguments, command=DEMO)`: a demo that has just begun, with a database of its own."""
    started = []

    def start(*arguments, command=DEMO):
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(django_jobs.__file__).parents[1]),
            "PYTHONWARNINGS": "error",
            "TMPDIR": str(folder),
            "EXAMPLE_DATABASE": str(folder / "example.sqlite3"),
        }
        started.append(
            subprocess.Popen(
                [*command, *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        with process:  # closes its pipe
            process.wait(SECONDS)


def read_until(process, pattern):
    """Read what it prints up to a line that matches; return the match."""
    for line in process.stdout:
        print(line, end="")
        if match := re.search(pattern, line):
            return match
    raise AssertionError(f"The demo ended without {pattern!r}.")


def read_to_the_end(process):
    """Return its last output, once no process is left that could print, and its status."""
    output, _ = process.communicate(timeout=SECONDS)
    print(output)
    return output, process.returncode


def log_in(address, user, password):
    """Return the page that the admin shows after the login."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    with browser.open(f"{address}login/?next=/admin/") as page:
        (token,) = set(re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.read().decode()))
    form = {"username": user, "password": password, "csrfmiddlewaretoken": token, "next": "/admin/"}
    with browser.open(f"{address}login/", urllib.parse.urlencode(form).encode()) as page:
        return page.read().decode()


def test_once_ends_with_a_status_that_tells_whether_all_came_out_as_expected(demo, folder):
    output, status = read_to_the_end(demo("--once"))
    assert status == 0
    assert "6 jobs failed:" in output
    assert "everything came out as expected" in output

    with sqlite3.connect(folder / "example.sqlite3") as connection:
        connection.execute("UPDATE django_jobs_job SET state = 'successful', error = '' WHERE error LIKE '%_py2.py%'")
    connection.close()
    output, status = read_to_the_end(demo("--once"))
    assert status == 1
    assert "_py2.py should be failed and is successful" in output


def test_it_shows_the_catalogue_and_the_jobs_until_ctrl_c(demo):
    process = demo()
    address, user, password = read_until(process, r"admin +(\S+) +user (\S+) +password (\S+)").groups()
    read_until(process, "until Ctrl-C")
    with urllib.request.build_opener().open(address.removesuffix("admin/")) as page:
        assert '<th scope="row">fissix</th>' in page.read().decode()
    assert "/admin/django_jobs/job/" in log_in(address, user, password)
    # As tox does it: twice, at once.
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    _, status = read_to_the_end(process)
    assert status == 0


def test_it_ends_with_its_parent_and_leaves_nobody_behind(demo):
    parent = demo(command=["sh", "-c", '"$0" "$@" & wait', *DEMO])
    read_until(parent, "until Ctrl-C")
    parent.kill()
    # The pipe ends when the last process that holds it has ended.
    read_to_the_end(parent)


def test_nobody_is_left_behind_when_it_is_killed(demo):
    killed = demo()
    read_until(killed, "until Ctrl-C")
    killed.kill()
    read_to_the_end(killed)
