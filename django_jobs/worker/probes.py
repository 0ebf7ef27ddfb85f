"""The health port: whether the workers live, and whether they are ready, for probes over HTTP."""

import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from django_jobs.errors import WorkerError
from django_jobs.worker.standing import Standing

# A client that says nothing for so long is not waited for.
PATIENCE_SECONDS = 5.0


class Probes:
    """A listener that answers from threads of its own, by what the supervisor saw in its last round.

    `/live`: the supervisor goes round and all loops turn. `/ready`: all workers are registered and the database hears
    of them. `/`: both. The body is JSON and tells of each worker. What is not so is answered with status 503.
    """

    def __init__(self, host: str, port: int) -> None:
        """Listen. Raises WorkerError where somebody else does."""
        try:
            self._server = _Server((host, port), _Answers)
        except (OSError, OverflowError) as error:  # the latter: no such port
            raise WorkerError(
                f"The health port {port} on {host!r} cannot be opened: {error}. "
                "Choose another: --health-port, --health-host."
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="django_jobs health", daemon=True)
        self._thread.start()

    def __call__(self, standing: Standing) -> None:
        self._server.standing = standing

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    standing: Standing | None = None


class _Answers(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE_SECONDS
    protocol_version = "HTTP/1.0"
    server_version, sys_version = "django_jobs", ""
    paths: ClassVar[dict[str, tuple[str, ...]]] = {"/": ("live", "ready"), "/live": ("live",), "/ready": ("ready",)}

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        asked = self.paths.get(self.path.partition("?")[0])
        standing = self.server.standing
        told: dict[str, object]
        if asked is None:
            status, told = HTTPStatus.NOT_FOUND, {"error": f"Ask for one of {', '.join(self.paths)}."}
        elif standing is None:  # it waits for migrations, perhaps, and a restart would not bring them
            status = HTTPStatus.OK if asked == ("live",) else HTTPStatus.SERVICE_UNAVAILABLE
            told = {"live": True, "ready": False}
        else:
            told = standing.told()
            status = HTTPStatus.OK if all(told[each] for each in asked) else HTTPStatus.SERVICE_UNAVAILABLE
        body = json.dumps(told).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: probes come every few seconds."""
