"""Business data in one database, jobs in another: told by Django's own test runner; see tests/test_two_databases.py."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from io import StringIO
from unittest.mock import patch
from uuid import uuid4

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import connections, transaction
from django.test import Client, TestCase, TransactionTestCase
from django.urls import reverse

from django_jobs import queues
from django_jobs.models import Job
from django_jobs.states import State
from tests.project.jobs import add, leave_effect
from tests.project.models import Effect
from tests.two_databases.jobs import write_and_fail


class Undone(Exception):
    """What a story rolls a transaction back with."""


def order() -> Effect:
    return Effect.objects.create(job_id=uuid4())


@contextmanager
def commits(committed: list[str]) -> Iterator[None]:
    """Note the aliases of databases in the order of their commits."""

    def note(alias: str, commit: Callable[[], None]) -> None:
        committed.append(alias)
        commit()

    with ExitStack() as ends:
        for alias in ("default", "jobs"):
            connection = connections[alias]
            ends.enter_context(patch.object(connection, "commit", partial(note, alias, connection.commit)))
        yield


class Apart(TransactionTestCase):
    databases = {"default", "jobs"}

    def left(self) -> tuple[int, int]:
        """Return how much business data there is, and how many jobs."""
        return Effect.objects.count(), Job.objects.count()

    def test_each_table_is_where_the_router_wants_it_and_checks_have_nothing_to_say(self):
        tables = {alias: set(connections[alias].introspection.table_names()) for alias in self.databases}
        assert "django_jobs_job" in tables["jobs"] - tables["default"]
        assert "project_effect" in tables["default"] - tables["jobs"]
        # Who may do what is asked where the users are.
        assert Permission.objects.using("default").filter(codename="retry_job").exists()
        call_command("check", databases=["default", "jobs"], fail_level="WARNING")

    # Whose transaction it is

    def test_a_job_that_is_just_enqueued_outlives_the_business_transaction(self):
        with suppress(Undone), transaction.atomic():
            order()
            add.enqueue(1, 2)
            raise Undone
        assert self.left() == (0, 1)

    def test_a_rollback_where_the_jobs_are_leaves_the_business_data(self):
        with suppress(Undone), transaction.atomic(using="jobs"):
            order()
            add.enqueue(1, 2)
            raise Undone
        assert self.left() == (1, 0)

    def test_on_commit_stores_the_job_with_the_business_data_or_not_at_all(self):
        with suppress(Undone), transaction.atomic():
            order()
            transaction.on_commit(partial(add.enqueue, 1, 2))
            raise Undone
        assert self.left() == (0, 0)
        with transaction.atomic():
            order()
            transaction.on_commit(partial(add.enqueue, 1, 2))
            assert self.left() == (1, 0)
        assert self.left() == (1, 1)

    def test_with_both_transactions_an_error_undoes_both_and_the_job_is_never_first(self):
        with suppress(Undone), transaction.atomic(using="jobs"), transaction.atomic():
            order()
            add.enqueue(1, 2)
            raise Undone
        assert self.left() == (0, 0)
        at_commit = []
        with transaction.atomic(using="jobs"), transaction.atomic():
            order()
            add.enqueue(1, 2)
            transaction.on_commit(lambda: at_commit.append(connections["jobs"].in_atomic_block))
        assert at_commit == [True]
        assert self.left() == (1, 1)

    def test_the_transactions_of_a_view_are_both_and_business_data_commits_first(self):
        client = Client(raise_request_exception=False)
        assert client.get("/order/?fail").status_code == 500
        assert self.left() == (0, 0)
        committed: list[str] = []
        with commits(committed):
            assert client.get("/order/").status_code == 200
        assert committed == ["default", "jobs"]
        assert self.left() == (1, 1)

    # What runs and what is shown

    def test_workers_take_jobs_from_one_database_and_their_bodies_write_to_the_other(self):
        done, failed = leave_effect.enqueue(), write_and_fail.enqueue()
        subprocess.run([sys.executable, "-m", "django", "runworkers", "--burst"], check=True, capture_output=True)
        done.refresh()
        failed.refresh()
        assert [done.state, failed.state] == [State.SUCCESSFUL, State.FAILED]
        assert failed.attempts.get().message == "Not this time."
        # An atomic body covers the database of the jobs alone: what it wrote elsewhere has stayed.
        assert {effect.job_id for effect in Effect.objects.all()} == {done.pk, failed.pk}

    def test_pages_and_verbs_of_the_admin_act_on_the_jobs_and_log_beside_the_users(self):
        job = add.using(run_after=3600).enqueue(1, 2)
        later = job.run_after
        client = Client()
        client.force_login(User.objects.create_superuser("admin"))
        page = reverse("admin:django_jobs_job_change", args=[job.pk])
        assert job.name in client.get(page).content.decode()
        jobs = reverse("admin:django_jobs_job_changelist")
        client.post(f"{jobs}?q={job.pk}", {"action": "run_now", "_selected_action": str(job.pk), "from_page": "yes"})
        job.refresh()
        assert job.run_after < later
        assert LogEntry.objects.using("default").get().object_id == str(job.pk)

    def test_a_queue_is_obliterated_from_the_admin_though_the_requests_are_atomic(self):
        add.enqueue(1, 2)
        client = Client()
        client.force_login(User.objects.create_superuser("admin"))
        chosen = {"name": "default", "chosen": "yes", "confirmed": "yes"}
        client.post(reverse("admin:django_jobs_queue_obliterate"), chosen)
        assert not Job.objects.exists()

    def test_commands_tell_of_the_jobs(self):
        job = add.enqueue(1, 2)
        queues["mail"].pause()
        told = StringIO()
        call_command("jobs", "list", stdout=told)
        call_command("jobqueues", "list", stdout=told)
        assert job.short_id in told.getvalue()
        assert "paused" in told.getvalue()
        assert queues["default"].counts().ready == 1


class WithAReplica(TestCase):
    """The replica is a mirror: the same database by another connection, which sees nothing that is not committed."""

    databases = {"default", "jobs", "replica"}

    def test_what_was_just_written_is_read_where_it_was_written(self):
        job = add.enqueue(1, 2)
        assert not Job.objects.using("replica").filter(pk=job.pk).exists()
        job.refresh()
        assert Job.objects.get(pk=job.pk) == job
        assert Job.objects.get(pk=job.pk)._state.db == "jobs"
        assert [*job.attempts.all(), *job.steps.all()] == []
        assert (job.progress, job.log, job.data) == (None, [], {})

    def test_who_asks_the_replica_itself_is_answered_by_it(self):
        add.enqueue(1, 2)
        assert list(Job.objects.using("replica").with_metadata(shop=1).with_error("ValueError").stalled()) == []
        assert not Job.objects.using("replica").exists()
