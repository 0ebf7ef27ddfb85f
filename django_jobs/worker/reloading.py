"""Which source file changed? For development: workers restart on new code."""

from collections.abc import Iterator
from pathlib import Path

from django.utils.autoreload import iter_all_python_module_files


class FileWatch:
    """Compares modification times of all imported modules with those of the last look."""

    def __init__(self) -> None:
        self._seen = dict(self._times())

    def changed(self) -> Path | None:
        """Return a file that changed or came since the last look, or None."""
        now = dict(self._times())
        changed = next((path for path, time in now.items() if path in self._seen and time != self._seen[path]), None)
        # A file that is gone for a moment, as some editors do it, is still known when it comes back.
        self._seen |= now
        return changed

    def _times(self) -> Iterator[tuple[Path, float]]:
        for path in iter_all_python_module_files():
            try:
                yield path, path.stat().st_mtime
            except OSError:
                continue
