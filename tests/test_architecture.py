"""The floor plan holds: who may import whom, who may write a state, and what the package never does."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "django_jobs"
EMPTY_WORDS = {"utils", "helpers", "common", "core"}
NEVER = {"mark_safe", "import_string", "pickle", "marshal", "shelve"}
# What the settings name is code, as in Django's own MIDDLEWARE, and the BACKEND of an alias in TASKS.
MAY = {"conf": {"import_string"}, "middleware": {"import_string"}}
# The only writer of the state; and migrations, which know no such thing as a state.
WRITERS_OF_STATE = {"transitions", "migrations"}
# Django's registry is not ready when user modules load. Inside its own floor a module may import late.
IMPORT_OTHER_FLOORS_LATE = {"apps", "backend", "decorators", "flows"}
UPDATE_OF_STATE = re.compile(r"\bUPDATE\b.*\bSET\b.*\bstate\s*=", re.IGNORECASE | re.DOTALL)

SOURCES = sorted(PACKAGE.rglob("*.py"))


def floor(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(), path))


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}: {ast.unparse(node)}"


def imported(node: ast.AST) -> set[str]:
    """Return the dotted names that an import statement asks for."""
    match node:
        case ast.Import(names=names):
            return {each.name for each in names}
        case ast.ImportFrom(module=str(module), names=names):
            return {f"{module}.{each.name}" for each in names}
    return set()


def words(node: ast.AST) -> set[str]:
    """Return the names that a node mentions, be it as a name, an attribute or an import."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return {name}
    return {word for each in imported(node) for word in each.split(".")}


def writes_a_state(node: ast.AST) -> bool:
    match node:
        case ast.Assign(targets=targets):
            return any(isinstance(each, ast.Attribute) and each.attr == "state" for each in targets)
        case ast.Call(func=ast.Attribute(attr="update" | "update_or_create"), keywords=keywords):
            return any(each.arg == "state" for each in keywords)
        case ast.Call(func=ast.Attribute(attr="bulk_update" | "save")):
            return any(isinstance(each, ast.Constant) and each.value == "state" for each in ast.walk(node))
        case ast.Constant(value=str(text)):
            return bool(UPDATE_OF_STATE.search(text))
    return False


def imports_another_floor(path: Path, node: ast.AST) -> bool:
    return any(each.startswith("django_jobs.") and each.split(".")[1] != floor(path) for each in imported(node))


def test_each_floor_imports_only_from_the_floors_below_it():
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_module_has_a_name_that_says_nothing():
    assert [path for path in SOURCES if EMPTY_WORDS & set(path.relative_to(ROOT).with_suffix("").parts)] == []


def test_only_transitions_write_the_state_of_a_job():
    others = [path for path in SOURCES if floor(path) not in WRITERS_OF_STATE]
    assert [place(path, node) for path in others for node in nodes(path) if writes_a_state(node)] == []


def test_nothing_trusts_markup_stored_names_or_pickles():
    assert [
        place(path, node)
        for path in SOURCES
        for node in nodes(path)
        if words(node) & (NEVER - MAY.get(floor(path), set()))
    ] == []


def test_a_floor_imports_another_inside_a_function_only_where_the_design_says_so():
    assert [
        place(path, node)
        for path in SOURCES
        if floor(path) not in IMPORT_OTHER_FLOORS_LATE
        for function in nodes(path)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if imports_another_floor(path, node)
    ] == []
