"""Which Python files are installed here?"""

import hashlib
import os
import platform
import sysconfig
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

# Folders in the interpreter's library where other people's packages are installed.
NOT_ITS_OWN = {"site-packages", "dist-packages"}


@dataclass(frozen=True, slots=True)
class Installed:
    """A distribution that is installed, with the Python files that it brought."""

    name: str
    version: str
    files: tuple[Path, ...]


def installed(only: Collection[str] = ()) -> Iterator[Installed]:
    """Yield what is installed and has Python files, each file once; with `only` just those of these names."""
    wanted = {name.lower() for name in only}
    names: set[str] = set()
    paths: set[Path] = set()
    for name, version, files in (_interpreter(), *_distributions()):
        # The same name twice is shadowed, as it is when Python imports.
        if name.lower() in names or (wanted and name.lower() not in wanted):
            continue
        names.add(name.lower())
        own = {path.resolve() for path in files if _is_readable(path)} - paths
        paths |= own
        if own:
            yield Installed(name, version, tuple(sorted(own)))


def digest_of(path: Path, content: bytes) -> str:
    """Return what names this content of this file."""
    return hashlib.sha256(os.fsencode(path) + b"\0" + content).hexdigest()


def _distributions() -> Iterator[tuple[str, str, Iterable[Path]]]:
    for each in metadata.distributions():
        files = [Path(str(each.locate_file(file))) for file in each.files or () if file.suffix == ".py"]
        yield each.name, each.version, files


def _interpreter() -> tuple[str, str, Iterable[Path]]:
    library = Path(sysconfig.get_path("stdlib"))
    files = (path for path in library.rglob("*.py") if not NOT_ITS_OWN.intersection(path.relative_to(library).parts))
    return platform.python_implementation(), platform.python_version(), files


def _is_readable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK)
