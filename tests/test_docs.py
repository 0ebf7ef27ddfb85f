"""What the documentation says of the code is what the code says."""

import ast
import os
import re
import runpy
import shlex
import sys
import textwrap
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from django.core.management import get_commands, load_command_class

from django_jobs.compat import task_backends
from django_jobs.conf import JobsSettings, get_settings
from django_jobs.worker.standing import LONGEST_ROUND_SECONDS
from django_jobs.worker.supervisor import LONGEST_END_SECONDS
from tests.bells import transport

__all__ = ["transport"]

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), ROOT / "example_project" / "README.md", *DOCS.rglob("*.md")])
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
PYTHON = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
COMMAND_LIST = re.compile(r'\["python", "manage\.py", ([^\]\n]*)\]')
COMMAND = re.compile(r"(?:manage\.py|django-admin) (\w[^`\n]*)")
ENVIRONMENT = re.compile(r"tox run -e (\S+?)[`\s]")


def parametrized_by_page(pattern):
    """Run a test for each page with all that the pattern finds there; there must be some in all."""
    found = {page.relative_to(ROOT).as_posix(): pattern.findall(page.read_text()) for page in PAGES}
    found = {page: matches for page, matches in found.items() if matches}
    assert found
    return pytest.mark.parametrize("matches", found.values(), ids=found.keys())


def anchors_of(page):
    """Return what a link to a heading of a page may say, as Markdown makes it from the headings."""
    return {
        re.sub(r"[^\w\- ]", "", each).strip().lower().replace(" ", "-") for each in HEADING.findall(page.read_text())
    }


def programs(matches):
    return [ast.parse(textwrap.dedent(program)) for _, program in matches]


def test_the_page_of_settings_is_current():
    script = runpy.run_path(str(DOCS / "write_settings.py"))
    assert (DOCS / "settings.md").read_text() == script["page"](), "Run: python docs/write_settings.py"


def test_the_picture_of_the_states_is_current():
    script = runpy.run_path(str(DOCS / "draw_states.py"))
    assert (DOCS / "images" / "states.svg").read_text() == script["picture"](), "Run: python docs/draw_states.py"


def test_no_link_between_pages_is_broken():
    links = [(page, *link) for page in PAGES for link in LINK.findall(page.read_text())]
    missing = [(page.name, target) for page, target, _ in links if not (page.parent / target).exists()]
    assert missing == []
    targets = [(page, (page.parent / target) if target else page, anchor) for page, target, anchor in links if anchor]
    assert [(page.name, anchor) for page, target, anchor in targets if anchor not in anchors_of(target)] == []
    assert links
    assert targets


@parametrized_by_page(PYTHON)
def test_python_on_a_page_is_python_and_imports_what_exists(matches):
    for program in programs(matches):
        for node in ast.walk(program):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("django_jobs"):
                module = import_module(node.module)
                assert [each.name for each in node.names if not hasattr(module, each.name)] == []


@pytest.mark.django_db(transaction=True)
@parametrized_by_page(PYTHON)
def test_python_on_a_page_runs_from_top_to_bottom(matches, transport, monkeypatch):
    page = ModuleType("orders.jobs")
    # What a page adds to a project's settings, and imports again from the module that it shows.
    vars(page).update(INSTALLED_APPS=[], DATABASES={"default": {}})
    monkeypatch.setitem(sys.modules, "orders", ModuleType("orders"))
    # Pages speak of the Django of today; before 6.0 a backport stands for it.
    monkeypatch.setitem(sys.modules, "django.tasks", sys.modules[task_backends.__class__.__module__])
    monkeypatch.setitem(sys.modules, "orders.jobs", page)
    for program in programs(matches):
        exec(compile(program, "<page>", "exec"), vars(page))  # noqa: S102 (our own pages)


@parametrized_by_page(PYTHON)
def test_settings_on_a_page_are_accepted(matches, settings):
    for program in programs(matches):
        for node in program.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DJANGO_JOBS":
                settings.DJANGO_JOBS = eval(ast.unparse(node.value), {"os": os})  # noqa: S307 (our own pages)
                get_settings()


@parametrized_by_page(COMMAND)
def test_commands_on_a_page_exist_with_their_options(matches):
    for match in matches:
        name, *arguments = shlex.split(match)
        command = load_command_class(get_commands()[name], name)
        command.create_parser("manage.py", name).parse_args(arguments)


@parametrized_by_page(COMMAND_LIST)
def test_commands_that_a_container_runs_exist_with_their_options(matches):
    for match in matches:
        name, *arguments = ast.literal_eval(f"[{match}]")
        load_command_class(get_commands()[name], name).create_parser("manage.py", name).parse_args(arguments)


def test_the_systemd_unit_is_one(tmp_path):
    (unit,) = re.findall(r"```ini\n(.*?)```", (DOCS / "deployment.md").read_text(), re.DOTALL)
    read = ConfigParser(interpolation=None, strict=True)
    read.read_string(unit)
    service = read["Service"]
    assert (service["Type"], service["KillMode"]) == ("notify", "mixed")
    assert float(service["TimeoutStopSec"]) > JobsSettings().GRACE_SECONDS + LONGEST_END_SECONDS
    # The supervisor says that it goes round twice as often, and may be kept for so long.
    assert float(service["WatchdogSec"]) > LONGEST_ROUND_SECONDS


@parametrized_by_page(ENVIRONMENT)
def test_environments_on_a_page_exist(matches):
    known = ConfigParser(interpolation=None)
    known.read(ROOT / "tox.ini")
    assert [each for each in matches if f"testenv:{each}" not in known] == []
