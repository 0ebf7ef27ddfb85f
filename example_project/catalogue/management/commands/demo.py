"""manage.py demo: the whole example at once."""

import os
import secrets
import socket
import urllib.request
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count, Max, Sum

from catalogue.children import ChildDied, Children
from catalogue.discovery import installed
from catalogue.expectation import differences
from catalogue.jobs import measure_file, scan
from catalogue.models import Distribution
from django_jobs import Job

LOGIN = "demo"
# More processes than processors only take turns.
PROCESSES = min(os.cpu_count() or 1, 4)


class Command(BaseCommand):
    help = "Catalogue the Python code of this environment with jobs, and show them in the admin until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--once",
            action="store_true",
            help="End when the work is done; status 0 only if all came out as expected.",
        )
        parser.add_argument(
            "--only",
            action="append",
            default=[],
            metavar="NAME",
            help="Catalogue just this distribution; may be repeated. Default: all, and the interpreter's own library.",
        )

    def handle(self, *args: Any, once: bool, only: list[str], **options: Any) -> None:
        call_command("migrate", verbosity=0)
        password = make_login()
        with Children() as children:
            address = f"127.0.0.1:{free_port()}"
            # --insecure: static files without DEBUG, which would keep every query in memory.
            children.start("runserver", "--noreload", "--insecure", address, silent=True)
            children.start("runworkers", f"--processes={PROCESSES}", "--concurrency=4")
            try:
                self.show_address(children, address, password)
                as_expected = self.catalogue(children, only)
                if as_expected is not None and not once:
                    self.say(f"\nThe admin stays at http://{address}/admin/ until Ctrl-C.")
                    while children.rest():
                        pass
            except ChildDied as error:
                raise CommandError(str(error)) from error
        if as_expected is None and once:
            raise CommandError("Ended before the work was done.")
        if as_expected is False:
            raise CommandError("Not everything came out as expected; see above.")

    def show_address(self, children: Children, address: str, password: str) -> None:
        while not answers(f"http://{address}/admin/login/") and children.rest(0.2):
            pass
        self.say(f"database    {settings.DATABASES['default']['NAME']}")
        self.say(f"catalogue   http://{address}/")
        self.say(f"admin       http://{address}/admin/   user {LOGIN}   password {password}")

    def catalogue(self, children: Children, only: list[str]) -> bool | None:
        """Scan, wait until nothing is left to do, and tell what came of it; None if asked to end before."""
        job = scan.enqueue(only or None)
        last = ""
        while Job.objects.alive().exists():
            if not children.rest():
                return None
            last, line = progress(), last
            if line != last:
                self.say(f"  {last}")
        job.refresh_from_db()
        self.say(summary(job))
        return self.compare(children, only)

    def compare(self, children: Children, only: list[str]) -> bool | None:
        """Compare what the jobs did with a plain loop over the same files; None if asked to end before."""
        self.say("\nComparing with a plain loop over the same files:")
        missing = {name.lower() for name in only}
        wrong: list[str] = []
        for found in installed(only):
            missing.discard(found.name.lower())
            wrong += differences(found)
            if not children.rest(0):
                return None
        wrong += [f"No distribution {name!r} with Python files is installed." for name in missing]
        self.say("\n".join(f"  {each}" for each in wrong) or "  everything came out as expected.")
        return not wrong

    def say(self, line: str) -> None:
        # Under tox the output is a pipe, which would keep it.
        self.stdout.write(line)
        self.stdout.flush()


def make_login() -> str:
    """Give the demo's user a new password and return it."""
    password = secrets.token_urlsafe(9)
    users = get_user_model().objects
    user = users.filter(username=LOGIN).first() or users.create_superuser(LOGIN)
    user.set_password(password)
    user.save()
    return password


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as response:  # noqa: S310 (our own server)
            return bool(response.status == 200)
    except OSError:
        return False


def progress() -> str:
    counts = dict(Job.objects.filter(name=measure_file.name).order_by().values_list("state").annotate(Count("pk")))
    if not counts:
        return "looking for files"
    return f"{counts.get('successful', 0)} of {sum(counts.values())} files measured, {counts.get('failed', 0)} failed"


def summary(job: Job) -> str:
    """Tell what a scan and the jobs after it came to."""
    since: datetime = job.enqueued_at
    ended = Job.objects.ended().filter(finished_at__gte=since).aggregate(jobs=Count("pk"), last=Max("finished_at"))
    seconds = (ended["last"] - since).total_seconds()
    totals = Distribution.objects.aggregate(
        distributions=Count("pk"), files=Sum("file_count", default=0), lines=Sum("lines", default=0)
    )
    failed = Job.objects.failed().order_by("id")
    return "\n".join(
        (
            "",
            f"{totals['distributions']} distributions, {totals['files']} files, {totals['lines']} lines.",
            f"{ended['jobs']} jobs in {seconds:.1f} seconds, {ended['jobs'] / seconds:.0f} a second; "
            f"{(job.result or {}).get('new', 0)} files were new.",
            f"{len(failed)} jobs failed{':' if failed else '.'}",
            *(f"  {each.args[0] if each.args else each.name}\n    {each.error}" for each in failed),
        )
    )
