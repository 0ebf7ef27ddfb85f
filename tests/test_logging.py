"""What is logged inside of a job stands in its log, and nothing else."""

import asyncio
import logging
import logging.config
from collections.abc import Iterator

import pytest

from django_jobs.definitions.outcomes import Claim, Failed, Succeeded
from django_jobs.execution.execute import aexecute
from django_jobs.lifecycle import reporting
from tests.execution.bodies import KINDS, act, act_async, claim, current_body, run
from tests.execution.test_batches import KINDS as BATCHES
from tests.execution.test_batches import run as run_batch

NAME = "tests.logging"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"short": {"format": "%(levelname)s %(message)s"}},
    "handlers": {"job": {"class": "django_jobs.logging.JobLogHandler", "level": "INFO", "formatter": "short"}},
    "loggers": {NAME: {"handlers": ["job"], "level": "DEBUG"}},
}


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logging.config.dictConfig(LOGGING)
    logger = logging.getLogger(NAME)
    yield logger
    logger.handlers.clear()


def log_of(given: Claim) -> str:
    return "\n".join(each.row().log_text for each in reporting.take_last([given]))


@KINDS
def test_what_a_body_logs_stands_in_the_log_of_its_job(logger: logging.Logger, function):
    def body():
        logger.info("order %s", 7)
        logger.debug("hidden")

    given = claim(function)
    assert run(body, given) == Succeeded()
    text = log_of(given)
    assert "INFO order 7" in text
    assert "hidden" not in text


def test_an_error_stands_there_with_its_traceback(logger: logging.Logger):
    def body():
        try:
            raise LookupError("no such order")
        except LookupError:
            logger.exception("broken")

    given = claim(act)
    run(body, given)
    text = log_of(given)
    assert "ERROR broken" in text
    assert "LookupError: no such order" in text


def test_jobs_that_run_at_the_same_time_keep_their_logs_apart(logger: logging.Logger):
    claims = [claim(act_async, number) for number in range(2)]

    async def body(number):
        await asyncio.sleep(0)
        logger.info("I am %s", number)

    async def together():
        return await asyncio.gather(*(asyncio.create_task(aexecute(each)) for each in claims))

    token = current_body.set(body)
    try:
        asyncio.run(together())
    finally:
        current_body.reset(token)
    for number, each in enumerate(claims):
        text = log_of(each)
        assert f"I am {number}" in text
        assert f"I am {1 - number}" not in text


@BATCHES
def test_what_the_body_of_a_batch_logs_stands_in_the_log_of_each_of_its_jobs(logger: logging.Logger, function):
    def body(items):
        logger.info("all %s", len(items))
        items[1].log("only here")

    claims = [claim(function, number) for number in range(2)]
    assert run_batch(body, claims) == [Succeeded()] * 2
    first, second = map(log_of, claims)
    assert "INFO all 2" in first
    assert "INFO all 2" in second
    assert ("only here" in first, "only here" in second) == (False, True)


def test_outside_of_a_job_nothing_happens(logger: logging.Logger):
    logger.info("nobody")
    assert not reporting._new


def test_a_record_that_cannot_be_written_harms_no_body(logger: logging.Logger, capsys: pytest.CaptureFixture[str]):
    outcome = run(lambda: logger.info("%d", "no number"), claim(act))
    assert not isinstance(outcome, Failed)
    assert "Logging error" in capsys.readouterr().err
