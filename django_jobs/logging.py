"""A bridge from Python's logging to the logs of jobs."""

import logging

from django_jobs.execution.context import current_jobs


class JobLogHandler(logging.Handler):
    """Add what is logged while the body of a job runs to the log of that job; at any other time do nothing.

    In a batch it stands in the log of each of its jobs. For LOGGING, with a level and a formatter as any handler has.
    """

    def emit(self, record: logging.LogRecord) -> None:
        contexts = current_jobs()
        if not contexts:
            return
        try:
            text = self.format(record)
            for each in contexts:
                each.log(text)
        except Exception:
            self.handleError(record)
