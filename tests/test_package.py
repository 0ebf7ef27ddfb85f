"""What users get: the built wheel, installed away from the working tree."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import django_jobs

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "django_jobs"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-I", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", folder]
    subprocess.run([*pip, wheel], check=True)
    return folder


def files_of(package: Path) -> set[str]:
    files = (each for each in package.rglob("*") if each.is_file() and "__pycache__" not in each.parts)
    return {each.relative_to(package).as_posix() for each in files}


def test_the_wheel_carries_every_file_of_the_package(installed):
    carried = files_of(installed / "django_jobs")
    assert carried == files_of(PACKAGE)
    assert "py.typed" in carried
    assert {".lua", ".mo", ".po"} <= {Path(each).suffix for each in carried}


def test_the_wheel_carries_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert tops == {"django_jobs", f"django_durable_jobs-{django_jobs.__version__}.dist-info"}


def test_the_installed_package_names_the_version_of_its_metadata(installed, tmp_path):
    program = rf"""
import sys
sys.path.insert(0, {str(installed)!r})
import django_jobs
from importlib.metadata import version
print(django_jobs.__file__, django_jobs.__version__, version("django-durable-jobs"), sep="\n")
"""
    python = [sys.executable, "-I", "-W", "error", "-c", program]
    # Nothing of this run reaches the other one, not even the measuring of coverage.
    answer = subprocess.run(python, cwd=tmp_path, env={}, capture_output=True, text=True, check=True)
    expected = [str(installed / "django_jobs" / "__init__.py"), django_jobs.__version__, django_jobs.__version__]
    assert answer.stdout.splitlines() == expected


def test_pytest_loads_the_fixtures_of_the_installed_package(installed, tmp_path):
    pytest_fixtures = [sys.executable, "-W", "error", "-m", "pytest", "-q", "--fixtures"]
    environment = {"PYTHONPATH": str(installed)}
    answer = subprocess.run(pytest_fixtures, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    names = [line.partition(" ")[0] for line in answer.stdout.splitlines()]
    assert {"drain_jobs", "captured_jobs", "immediate_jobs", "frozen_clock"} <= {*names}, answer.stdout + answer.stderr


def test_under_tox_the_installed_package_is_tested_and_not_the_working_tree():
    tested = Path(django_jobs.__file__).parent
    assert tested != PACKAGE or "TOX_ENV_NAME" not in os.environ
