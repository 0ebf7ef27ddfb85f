"""A bridge from Python's logging to the logs of jobs."""

import logging

from django_jobs.execution.context import current_job


class JobLogHandler(logging.Handler):
    """Add what is logged while the body of a job runs to the log of that job; at any other time do nothing.

    For LOGGING, with a level and a formatter as any other handler has.
    """

    def emit(self, record: logging.LogRecord) -> None:
        context = current_job()
        if context is None:
            return
        try:
            context.log(self.format(record))
        except Exception:
            self.handleError(record)
