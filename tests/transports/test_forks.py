"""A process that forks after it has enqueued: parent and child ring through connections of their own."""

import subprocess
import sys

import pytest
from django.conf import settings

from django_jobs.models import Job
from tests.processes import worker_environment
from tests.redis_servers import Watched

pytestmark = pytest.mark.django_db(transaction=True)

FORKS = """
import os, threading
import django
django.setup()
from django.db import connections
from django_jobs.transports import get_transport
from tests.project.jobs import add

def ring_from_a_thread():
    thread = threading.Thread(target=lambda: (add.enqueue(1, 1), connections.close_all()))
    thread.start()
    thread.join()

def who():
    ask = getattr(get_transport(), "_server", None)
    return None if ask is None else ask.ask(lambda client: client.client_id())

add.enqueue(1, 1)
ring_from_a_thread()
before = who()
connections.close_all()
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    add.enqueue(2, 2)
    ring_from_a_thread()
    os.write(writing, str(who()).encode())
    connections.close_all()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
add.enqueue(3, 3)
theirs = os.read(reading, 100).decode()
assert before is None or (who() == before and theirs != str(before)), (before, who(), theirs)
connections.close_all()
print("rung")
"""


@pytest.mark.parametrize("transport", [settings.DJANGO_JOBS["TRANSPORT"], "database:"], ids=["of the run", "database"])
def test_parent_and_child_of_a_fork_ring_side_by_side(transport: str):
    ring_in_parent_and_child(transport)


@pytest.mark.once
def test_parent_and_child_of_a_fork_ring_side_by_side_behind_sentinels(servers_and_sentinels: Watched):
    ring_in_parent_and_child(servers_and_sentinels.url)


def ring_in_parent_and_child(transport: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKS],
        env=worker_environment({"TRANSPORT": transport}),
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("rung\n", "")
    assert Job.objects.count() == 5
