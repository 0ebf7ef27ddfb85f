"""The page on versions names those that the package declares and the matrix tries."""

import re
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]


def row(name):
    """Return the cells of a row of the page's table."""
    (line,) = re.findall(rf"^\| {name} \|(.*)\|$", (ROOT / "docs" / "versions.md").read_text(), re.MULTILINE)
    return [cell.strip() for cell in line.split("|")]


@pytest.mark.parametrize(
    ("name", "classifier"), [("Python", "Programming Language :: Python"), ("Django", "Framework :: Django")]
)
def test_the_page_names_the_versions_of_the_package(name, classifier):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = re.findall(rf"{classifier} :: (\d\.\d+)", "\n".join(project["classifiers"]))
    assert row(name)[0].split(", ") == declared
    least = project["requires-python"] if name == "Python" else project["dependencies"][0]
    assert least.endswith(f">={declared[0]}")


def test_the_page_names_the_pythons_of_the_matrix_and_every_django_is_tried():
    matrix = (ROOT / "tox.ini").read_text().partition("\n\n")[0]
    pythons = [f"{major}.{minor}" for major, minor in re.findall(r"py(\d)(\d+)-", matrix)]
    djangos = [f"{major}.{minor}" for major, minor in re.findall(r"django(\d)(\d)", matrix)]
    assert row("Python")[1].split(", ") == pythons
    assert row("Django")[0].split(", ") == djangos
