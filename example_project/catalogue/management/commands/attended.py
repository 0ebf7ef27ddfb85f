"""manage.py attended runserver ...: run another command, but not for longer than whoever holds our input."""

import os
import signal
import sys
import threading
from argparse import REMAINDER, ArgumentParser
from typing import Any

from django.core.management import execute_from_command_line
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Run another command, and end it as SIGTERM does when the standard input ends."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("command", nargs=REMAINDER)

    def handle(self, *args: Any, command: list[str], **options: Any) -> None:
        # However the parent dies, the kernel closes its end of the pipe.
        threading.Thread(target=_end_with_input, daemon=True).start()
        execute_from_command_line([sys.argv[0], *command])


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
