"""manage.py jobs_prune: drop now what is not to be kept any longer. Workers do the same by themselves every minute."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from django_jobs.conf import get_settings
from django_jobs.lifecycle.pruning import count_prunable, prune
from django_jobs.management.terminal import ProgressBar


class Command(BaseCommand):
    help = "Drop the rows of jobs that are not to be kept any longer. Workers do so by themselves every minute."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Only count them.")
        parser.add_argument("--json", action="store_true", help="Print JSON, for machines.")

    def handle(self, *args: object, **options: Any) -> None:
        using = get_settings().DATABASE
        total = count_prunable(using)
        pruned = 0 if options["dry_run"] else self._prune(using, total)
        if options["json"]:
            self.stdout.write(json.dumps({"prunable": total, "pruned": pruned}, indent=2))
        elif options["dry_run"]:
            self.stdout.write(f"{total:,} jobs are not to be kept any longer.")
        else:
            self.stdout.write(f"{pruned:,} jobs were pruned.")

    def _prune(self, using: str, total: int) -> int:
        bar = ProgressBar(self.stderr, total)
        pruned = 0
        try:
            for count in prune(using):
                pruned += count
                bar(pruned)
        finally:
            bar.end()
        return pruned
