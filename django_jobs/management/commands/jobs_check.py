"""manage.py jobs_check: can every part be reached, and what is late?"""

import json
from argparse import RawDescriptionHelpFormatter
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from django_jobs.lifecycle.findings import Finding, Status
from django_jobs.lifecycle.health import LATE_SECONDS, examine
from django_jobs.management.tables import line

SOMETHING_IS_WRONG, CANNOT_TELL = 1, 2
STATUSES = """\
exit status:
  0  all is well
  1  something is late or has failed
  2  nothing can be said about the jobs: the settings, the database or its migrations are at fault

A paused queue is shown and is not wrong. Nothing is changed, and no table is read to its end."""


class Command(BaseCommand):
    help = "See whether every part can be reached, and what is late. For people and for probes."
    # Wrong settings are one of the things it tells.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = STATUSES
        parser.add_argument("--json", action="store_true", help="Print JSON, for machines.")
        parser.add_argument(
            "--late",
            type=float,
            default=LATE_SECONDS,
            metavar="SECONDS",
            help=f"A job is late when it could have started so long ago; {LATE_SECONDS:g} by default.",
        )

    def handle(self, *args: object, **options: Any) -> None:
        if not options["late"] >= 0:
            raise CommandError(f"--late must be a number of seconds, not {options['late']!r}.", returncode=CANNOT_TELL)
        findings: list[Finding] = []
        for each in examine(options["late"]):
            findings.append(each)
            if not options["json"]:
                self._print(each)
        if options["json"]:
            told = {"status": worst(findings), "parts": [asdict(each) for each in findings]}
            self.stdout.write(json.dumps(told, cls=DjangoJSONEncoder, indent=2))
        self._judge(findings)

    def _print(self, finding: Finding) -> None:
        """One line, at once: the next part may keep us waiting."""
        paint = {Status.OK: self.style.SUCCESS, Status.LATE: self.style.WARNING, Status.FAILED: self.style.ERROR}
        told = " ".join(finding.told.split())
        if finding.advice:
            told += f"{'' if told.endswith(('.', '?', '!')) else '.'} {finding.advice}"
        self.stdout.write(f"{paint[finding.status](f'{finding.status:6}')}  {line(finding.part):14}  {line(told)}")
        self.stdout.flush()

    def _judge(self, findings: list[Finding]) -> None:
        wrong = [each for each in findings if each.status is not Status.OK]
        if wrong:
            status = CANNOT_TELL if any(each.leaves_all_open for each in wrong) else SOMETHING_IS_WRONG
            parts = ", ".join(line(each.part) for each in wrong)
            raise CommandError(f"Not all is well: {parts}.", returncode=status)


def worst(findings: list[Finding]) -> Status:
    """Return the worst status of all."""
    return max((each.status for each in findings), key=list(Status).index)
