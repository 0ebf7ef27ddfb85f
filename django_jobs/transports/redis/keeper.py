"""Keeps a private server for as long as it has members. Run as a script that knows only the standard library.

A member is whoever holds a shared lock on the file MEMBERS. The kernel takes the lock away however a member ends,
so the keeper never counts or polls: it asks for the exclusive lock, and has it when the last member is gone.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

SOCKET = "socket"
MEMBERS = "members"
ANSWER_SECONDS = 5.0
START_SECONDS = 15.0
LOG_BYTES = 64 * 1024
PR_SET_PDEATHSIG = 1


def main(binary: str, directory: Path, linger_seconds: float) -> None:
    """Leave a keeper behind as an orphan, and end as soon as its server answers or could not start."""
    started, starting = os.pipe()
    if os.fork():
        os.close(starting)
        os.read(started, 1)
    else:
        os.close(started)
        keep(binary, directory, linger_seconds, starting)


def keep(binary: str, directory: Path, linger_seconds: float, starting: int) -> None:
    """Run the server until it has no members or ends by itself; `starting` is closed when it answers."""
    address = directory / SOCKET
    members = os.open(directory / MEMBERS, os.O_RDWR)
    server = start_server(binary, directory)
    if wait_for_answer(server, address):
        os.close(starting)
        arguments = (server, address, members, linger_seconds)
        threading.Thread(target=stop_when_deserted, args=arguments, daemon=True).start()
    else:
        server.kill()
    assert server.stdout is not None
    copy_to_log(server.stdout)


def start_server(binary: str, directory: Path) -> subprocess.Popen[bytes]:
    """Start a server that keeps nothing on disk and listens on the socket only."""
    options = {
        "port": "0",
        "unixsocket": str(directory / SOCKET),
        "unixsocketperm": "700",
        "dir": str(directory),
        "save": "",
        "appendonly": "no",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
    }
    command = [binary, *(word for name, value in options.items() for word in (f"--{name}", value))]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=die_with_parent if sys.platform == "linux" else None,
    )


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent dies, which only Linux can."""
    # Not SIGTERM: a server that shuts down in good order removes the socket, by then perhaps the next server's.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_for_answer(server: subprocess.Popen[bytes], address: Path) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if answers(address):
                return True
        time.sleep(0.01)
    return False


def answers(address: Path) -> bool:
    """Tell whether a server lives at the socket. Raises OSError when one is there that does not say PONG."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(os.fspath(address))
            with contextlib.suppress(BrokenPipeError):  # a server that is full says so unasked and hangs up
                connection.sendall(b"PING\r\n")
            reply = connection.recv(64)
        except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError):
            return False
        except TimeoutError as error:
            raise TimeoutError(f"no answer to PING within {ANSWER_SECONDS:g} s") from error
    if reply and not reply.startswith(b"+PONG"):
        raise OSError(f"the answer to PING was {reply!r}")
    return bool(reply)


def stop_when_deserted(server: subprocess.Popen[bytes], address: Path, members: int, linger_seconds: float) -> None:
    """Kill the server once nobody was a member for the whole of `linger_seconds`.

    The lock is then kept until this process has ended: newcomers wait for it, so the socket is removed from nobody.
    """
    try:
        while True:
            fcntl.flock(members, fcntl.LOCK_EX)
            fcntl.flock(members, fcntl.LOCK_UN)
            time.sleep(linger_seconds)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(members, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
        address.unlink(missing_ok=True)
    finally:
        server.kill()


def copy_to_log(output: IO[bytes]) -> None:
    """Write what the server says to our own output, a file, until the server ends; start over when it gets long."""
    for line in output:
        with contextlib.suppress(OSError):  # a full disk is no reason to lose the server
            if os.lseek(1, 0, os.SEEK_CUR) > LOG_BYTES:
                os.ftruncate(1, 0)
                os.lseek(1, 0, os.SEEK_SET)
            os.write(1, line)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
