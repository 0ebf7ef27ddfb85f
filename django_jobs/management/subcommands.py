"""Commands with sub-commands: what each of those takes besides its own options."""

from argparse import SUPPRESS
from typing import Any

from django.core.management.base import CommandParser

# Django knows these before the sub-command; people write them at the end.
WITH_VALUE = (("--settings",), ("--pythonpath",), ("-v", "--verbosity"))
FLAGS = ("--traceback", "--no-color", "--force-color")


def add(commands: Any, name: str, help: str) -> CommandParser:
    """Add a sub-command, which can also answer in JSON."""
    parser: CommandParser = commands.add_parser(name, help=help, description=help)
    parser.add_argument("--json", action="store_true", help="Print JSON, for machines.")
    for names in WITH_VALUE:
        parser.add_argument(*names, default=SUPPRESS, help=SUPPRESS, type=int if "-v" in names else str)
    for flag in FLAGS:
        parser.add_argument(flag, action="store_true", default=SUPPRESS, help=SUPPRESS)
    return parser
