"""Where the time of a process goes, by the part of the code that has it: a sampling profiler looks from outside."""

import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

SAMPLES_PER_SECOND = 400
START_SECONDS = 0.5
# Whose code a file holds; all others are Python's own.
PACKAGES = ("psycopg", "django", "redis", "django_jobs")
SITE = re.compile(rf"(?:site-packages|.*)/(?=(?:{'|'.join(PACKAGES)})/)")
# A frame as the profiler writes it.
FRAME = re.compile(r"(?P<function>.*) \((?P<file>.*):\d+\)$")
# The threads of a worker; bodies run in those that have a number.
THREADS = {"django_jobs recorder": "recorder", "django_jobs fetcher": "fetcher", "django_jobs chores": "chores"}


def profiled(profiler: Path, pid: int, act: Callable[[], int]) -> dict[str, float]:
    """Return the microseconds of CPU that each part of a process has for one of those that `act` says it has done."""
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        output = Path(folder) / "samples"
        how = ["--format", "raw", "--threads", "--full-filenames", "--nonblocking", "--rate", str(SAMPLES_PER_SECOND)]
        command = [str(profiler), "record", *how, "--duration", "600", "--pid", str(pid), "--output", str(output)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                time.sleep(START_SECONDS)  # it says nothing when it has begun
                count = act()
            finally:
                process.send_signal(signal.SIGINT)
        if not output.exists():
            raise RuntimeError(
                f"{profiler} wrote nothing. To look into a process it needs root, or the right to ptrace."
            )
        parts: Counter[str] = Counter()
        for line in output.read_text().splitlines():
            frames, _, samples = line.rpartition(" ")
            parts[part_of(frames.split(";"))] += int(samples)
    return {part: samples / SAMPLES_PER_SECOND * 1e6 / count for part, samples in parts.items()}


def part_of(frames: list[str]) -> str:
    """Return whose code it is that runs, of the outermost frame first, and in which thread of a worker."""
    thread = next((name for known, name in THREADS.items() if known in frames[0]), "")
    if not thread and "django_jobs" in frames[0]:
        thread = "bodies"
    files = [match["file"] for frame in frames if (match := FRAME.match(frame))]
    names = [SITE.sub("", file) for file in files if SITE.search(file)]
    # What Python's own modules do, they do for who calls them.
    package = names[-1].partition("/")[0] if names else "Python"
    return f"{thread}: {package}" if thread else package
