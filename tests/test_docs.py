"""What the documentation says of the code is what the code says."""

import ast
import inspect
import os
import re
import runpy
import shlex
import sys
import textwrap
import tomllib
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from django.core.management import get_commands, load_command_class

from django_jobs import queues
from django_jobs.compat import Task, task_backends
from django_jobs.conf import JobsSettings, get_settings
from django_jobs.decorators import JobFunction
from django_jobs.definitions.options import ON_JOB_ALONE, OPTION_NAMES
from django_jobs.testing import drain
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
# The comment stands above code of another system, and says with what it was tried: it is shown here, and not run.
BLOCK = re.compile(r"(?:^<!-- tried with (\S+) -->\n)?^( *)```(\w+)\n(.*?)^\2```$", re.MULTILINE | re.DOTALL)
EDGE = re.compile(r"^ *(?:```|~~~)", re.MULTILINE)
# What a test below looks at, and what is printed.
LANGUAGES = {"python", "console", "dockerfile", "ini", "yaml", "text"}
KNOWN_LINE = re.compile(
    r"python manage\.py |django-admin |python -m tests\.|pytest$|(\.venv/bin/)?tox run -e |"
    r"(\.venv/bin/|python -m )?pip install |python3 -m venv \.venv$|\. \.venv/bin/activate$|cd \w+$"
)
MODULE = re.compile(r"python -m (tests[.\w]*)([^`\n]*)")
EXTRAS = re.compile(r"(?:clone|django-durable-jobs|')\.?\[([\w,-]+)\]")
COMMAND_LIST = re.compile(r'\["python", "manage\.py", ([^\]\n]*)\]')
COMMAND = re.compile(r"(?:manage\.py|django-admin) (\w[^`\n]*)")
ENVIRONMENT = re.compile(r"tox run -e (\S+?)[`\s]")


def blocks(language):
    """Find the blocks of a page that are in a language and ours."""

    def find(text):
        found = BLOCK.findall(text)
        return [textwrap.dedent(code) for tried, _, named, code in found if named == language and not tried]

    return find


def parametrized_by_page(find):
    """Run a test for each page with all that is found there; there must be some in all."""
    found = {page.relative_to(ROOT).as_posix(): find(page.read_text()) for page in PAGES}
    found = {page: matches for page, matches in found.items() if matches}
    assert found
    return pytest.mark.parametrize("matches", found.values(), ids=found.keys())


def anchors_of(page):
    """Return what a link to a heading of a page may say, as Markdown makes it from the headings."""
    return {
        re.sub(r"[^\w\- ]", "", each).strip().lower().replace(" ", "-") for each in HEADING.findall(page.read_text())
    }


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_of_a_page_is_looked_at(page):
    text = page.read_text()
    found = BLOCK.findall(text)
    assert len(EDGE.findall(text)) == 2 * len(found), "a fence without a language, or without an end"
    assert {language for tried, _, language, _ in found if not tried} <= LANGUAGES
    versions = [name_and_version.split("==")[1] for name_and_version, *_ in found if name_and_version]
    assert [version for version in versions if version not in BLOCK.sub("", text)] == []


@parametrized_by_page(blocks("python"))
def test_python_on_a_page_is_python_and_imports_what_exists(matches):
    for program in map(ast.parse, matches):
        for node in ast.walk(program):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("django_jobs"):
                module = import_module(node.module)
                assert [each.name for each in node.names if not hasattr(module, each.name)] == []


@pytest.mark.django_db(transaction=True)
@parametrized_by_page(blocks("python"))
def test_python_on_a_page_runs_from_top_to_bottom(matches, transport, monkeypatch):
    page = ModuleType("orders.jobs")
    # What a page adds to a project's settings, and imports again from the module that it shows.
    vars(page).update(INSTALLED_APPS=[], DATABASES={"default": {}})
    monkeypatch.setitem(sys.modules, "orders", ModuleType("orders"))
    # Pages speak of the Django of today; before 6.0 a backport stands for it.
    monkeypatch.setitem(sys.modules, "django.tasks", sys.modules[task_backends.__class__.__module__])
    monkeypatch.setitem(sys.modules, "orders.jobs", page)
    for program in map(ast.parse, matches):
        exec(compile(program, "<page>", "exec"), vars(page))  # noqa: S102 (our own pages)
    # The bodies too, of all that the page has enqueued. An item of a batch is failed on purpose.
    ran = drain()
    assert [job.error for job in ran if job.error and "BatchItemFailed" not in job.error] == []
    # And of all that it only declares; tasks are all enqueued.
    known = {*NOT_RUN, *(job.name for job in ran)}
    assert {each.module_path for each in vars(page).values() if isinstance(each, Task)} <= known
    for function in [each for each in vars(page).values() if isinstance(each, JobFunction)]:
        if function.spec.name not in known:
            queues[function.queue_name].resume()
            function.using(run_after=0).enqueue(*sample_arguments(function.func))
            assert [(job.name, job.error) for job in drain()] == [(function.spec.name, "")]


# Jobs of pages whose bodies cannot run here, and why.
NOT_RUN = {
    "shop.print_label": "A script takes its jobs by hand, and the body is there to say so.",
    "orders.jobs.book_in_ledger": "It writes to a second database.",
}


def sample_arguments(function):
    """Return arguments for what a function must be given, of the types that it says."""
    parameters = inspect.signature(function).parameters.values()
    needed = [each for each in parameters if each.default is each.empty and each.name != "context"]
    return ["42" if each.annotation is str else 42 for each in needed]


@parametrized_by_page(blocks("python"))
def test_settings_on_a_page_are_accepted(matches, settings):
    for program in map(ast.parse, matches):
        for node in program.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DJANGO_JOBS":
                settings.DJANGO_JOBS = eval(ast.unparse(node.value), {"os": os})  # noqa: S307 (our own pages)
                get_settings()


@parametrized_by_page(COMMAND.findall)
def test_commands_on_a_page_exist_with_their_options(matches):
    for match in matches:
        name, *arguments = shlex.split(match)
        command = load_command_class(get_commands()[name], name)
        command.create_parser("manage.py", name).parse_args(arguments)


@parametrized_by_page(blocks("console"))
def test_what_is_typed_on_a_page_is_of_a_kind_that_is_looked_at(matches):
    for line in "".join(matches).splitlines():
        assert line.startswith("$ ")
        assert [command for command in line[2:].split(" && ") if not KNOWN_LINE.match(command)] == []


@parametrized_by_page(MODULE.findall)
def test_modules_on_a_page_exist_with_their_options(matches):
    for name, arguments in matches:
        path = ROOT.joinpath(*name.split("."))
        source = (path / "__main__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
        assert [each for each in re.findall(r"--\w[\w-]*", arguments) if f'"{each}"' not in source] == []


@parametrized_by_page(EXTRAS.findall)
def test_extras_on_a_page_exist(matches):
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {each for match in matches for each in match.split(",")} <= known.keys()


@parametrized_by_page(COMMAND_LIST.findall)
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


def test_the_overview_leads_to_all_pages_in_the_order_of_the_menu():
    menu = re.findall(r"([\w/-]+\.md)$", (ROOT / ".mkdocs.yml").read_text(), re.MULTILINE)
    overview = [target for target, _ in LINK.findall((DOCS / "README.md").read_text())]
    assert overview == [page for page in menu[1:] if not re.match(r"decisions/\d", page)]


def test_the_table_of_options_has_all_of_them():
    rows = re.findall(r"^\| (`.+?) \|", (DOCS / "getting-started.md").read_text(), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted([*OPTION_NAMES, *ON_JOB_ALONE])


@parametrized_by_page(ENVIRONMENT.findall)
def test_environments_on_a_page_exist(matches):
    known = ConfigParser(interpolation=None)
    known.read(ROOT / "tox.ini")
    assert [each for each in matches if f"testenv:{each}" not in known] == []
