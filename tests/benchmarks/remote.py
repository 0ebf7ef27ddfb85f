"""A peer's adapter, seen from the harness: it lives in another environment and answers line by line."""

import json
import os
import select
import subprocess
from pathlib import Path
from typing import Any

from tests.benchmarks.environments import HERE, Environment
from tests.benchmarks.ledger import VARIABLE, Ledger
from tests.benchmarks.stores import Stores
from tests.benchmarks.systems import System

ROOT = HERE.parents[1]
ANSWER_SECONDS = 600
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")


class Remote:
    """The client process of one system; it stays, with its connections, as a web server's process would."""

    def __init__(self, system: System, environment: Environment, stores: Stores, ledger: Ledger, log: Path) -> None:
        self.system, self.log = system, log
        self.environment = _variables(system, environment, stores, ledger)
        if system.is_node:
            self.command = [str(environment.program), str(HERE / "peers" / system.peer)]
        else:
            module = f"tests.benchmarks.peers.{system.peer}"
            self.command = [str(environment.program), "-m", "tests.benchmarks.client", module]
        self._process: subprocess.Popen[str] | None = None

    def ask(self, verb: str, **given: Any) -> Any:
        """Have the adapter do something, and return its answer. Raises RuntimeError."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps({"verb": verb, **given}), file=process.stdin, flush=True)
        readable, _, _ = select.select([process.stdout], [], [], ANSWER_SECONDS)
        line = process.stdout.readline() if readable else ""
        if not line:
            self.close()
            raise RuntimeError(f"{self.system.key}: no answer to {verb!r}. See {self.log}.")
        reply = json.loads(line)
        if "error" in reply:
            raise RuntimeError(f"{self.system.key}: {verb!r} failed: {reply['error']}")
        return reply["answer"]

    @property
    def pid(self) -> int:
        return (self._process or self._start()).pid

    def close(self) -> None:
        """End the process, so that the servers count all that it did; the next question starts another."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()

    def _start(self) -> subprocess.Popen[str]:
        with self.log.open("ab") as errors:
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                # Ctrl-C is for the harness, which ends it.
                start_new_session=True,
            )
        return self._process


def _variables(system: System, environment: Environment, stores: Stores, ledger: Ledger) -> dict[str, str]:
    variables = {
        **{name: os.environ[name] for name in INHERITED if name in os.environ},
        "PYTHONPATH": str(ROOT),
        "PYTHONSAFEPATH": "1",
        "BENCHMARK_PEER": f"tests.benchmarks.peers.{system.peer}",
        "BENCHMARK_OPTIONS": json.dumps(dict(system.options)),
        "BENCHMARK_MODULES": str(environment.folder / "package.json"),
        "DJANGO_JOBS_TEST_DATABASE": stores.url(system),
        VARIABLE: str(ledger.path),
    }
    if system.redis:
        variables["BENCHMARK_REDIS"] = stores.servers["redis"].url
    if system.uses_django:
        variables["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"
    return variables
