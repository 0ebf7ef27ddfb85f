"""An environment for each peer: made at first use from its pinned requirements, kept under .benchmarks/."""

import hashlib
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".benchmarks"
REQUIREMENTS = HERE / "requirements"


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a peer lives: the command that runs its adapter begins with `program`."""

    program: Path
    folder: Path
    versions: dict[str, str]


def environment(requirements: str) -> Environment:
    """Return the environment of a requirements file; make it if it is not there or is of another file."""
    source = REQUIREMENTS / requirements
    made_of = source.read_bytes() + sys.version.encode()
    folder = CACHE / f"{source.stem}-{hashlib.sha256(made_of).hexdigest()[:12]}"
    is_node = source.suffix == ".json"
    if not (folder / "complete").exists():
        print(f"Making {folder.relative_to(CACHE.parent)} from {source.name}.", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (_install_node if is_node else _install_python)(folder, source)
        (folder / "complete").touch()
    return _node(folder) if is_node else _python(folder)


def _install_python(folder: Path, source: Path) -> None:
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--requirement", source], check=True, stderr=subprocess.DEVNULL)


def _install_node(folder: Path, source: Path) -> None:
    shutil.copy(source, folder / source.name)
    npm = ["npm", "install", "--silent", "--no-audit", "--no-fund"]
    subprocess.run(npm, cwd=folder, check=True, stderr=subprocess.DEVNULL)


def _python(folder: Path) -> Environment:
    program = folder / "bin" / "python"
    frozen = _output(program, "-m", "pip", "freeze", "--disable-pip-version-check")
    pairs = (line.split("==") for line in frozen.splitlines() if "==" in line)
    return Environment(program, folder, {"Python": sys.version.split()[0]} | dict(pairs))


def _node(folder: Path) -> Environment:
    program = shutil.which("node")
    if program is None:
        raise FileNotFoundError("The program 'node' is not installed. On Debian: apt-get install nodejs npm.")
    listed = _output("npm", "ls", "--depth=0", "--parseable", "--long", cwd=folder)
    names = (line.rpartition(":")[2] for line in listed.splitlines()[1:])
    pairs = (name.rpartition("@")[::2] for name in names)
    return Environment(Path(program), folder, {"Node": _output(program, "--version").strip("v\n")} | dict(pairs))


def _output(*command: str | Path, cwd: Path | None = None) -> str:
    return subprocess.run(
        command, cwd=cwd, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ).stdout
