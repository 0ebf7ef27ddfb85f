"""Only a change in code that is loaded counts."""

import os
import sys
from collections.abc import Iterator
from importlib import import_module, invalidate_caches
from pathlib import Path
from uuid import uuid4

import pytest

from django_jobs.worker.reloading import FileWatch


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a module that is imported."""
    path = tmp_path / f"loaded_{uuid4().hex}.py"
    path.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    invalidate_caches()
    import_module(path.stem)
    yield path.resolve()
    del sys.modules[path.stem]


def touch(path: Path, seconds: float) -> None:
    before = path.stat().st_mtime
    os.utime(path, (before + seconds, before + seconds))


@pytest.mark.parametrize("seconds", [5, -5], ids=["newer", "older"])
def test_a_changed_file_is_told_once(loaded: Path, seconds: int):
    watch = FileWatch()
    assert watch.changed() is None
    touch(loaded, seconds)
    assert watch.changed() == loaded
    assert watch.changed() is None


def test_a_file_that_is_not_loaded_does_not_count(loaded: Path):
    other = loaded.with_name("other.py")
    other.write_text("")
    watch = FileWatch()
    touch(other, 5)
    other.with_name("another.py").write_text("")
    assert watch.changed() is None


def test_a_module_that_is_first_loaded_now_is_no_change(loaded: Path, tmp_path: Path):
    watch = FileWatch()
    late = tmp_path / f"late_{uuid4().hex}.py"
    late.write_text("")
    invalidate_caches()
    import_module(late.stem)
    assert watch.changed() is None
    touch(late, 5)
    assert watch.changed() == late.resolve()
    del sys.modules[late.stem]


def test_a_file_that_was_gone_for_a_moment_counts_if_it_came_back_changed(loaded: Path):
    watch = FileWatch()
    hidden = loaded.rename(loaded.with_suffix(".away"))
    assert watch.changed() is None
    hidden.rename(loaded)
    assert watch.changed() is None
    loaded.rename(hidden)
    assert watch.changed() is None
    hidden.rename(loaded)
    touch(loaded, 5)
    assert watch.changed() == loaded
