"""How the example logs to the terminal."""

import logging
from typing import Any


class OneLine(logging.Formatter):
    """Leave tracebacks out: the admin shows them with the attempt."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 (logging's name)
        return ""
