"""What a body saves is there for its later attempts, and nobody who lost the job puts it back."""

from contextlib import suppress

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, transaction

from django_jobs import remove, retry
from django_jobs.definitions.outcomes import Failed, Retried, Succeeded
from django_jobs.errors import ClaimLost, InvalidArguments, PayloadTooLarge
from django_jobs.execution.execute import make_context
from django_jobs.lifecycle.settling import settle
from django_jobs.models import SavedData
from tests.rows import ERROR, claim_one, ended, fresh, running, take_away

pytestmark = pytest.mark.django_db


def context_of(claim):
    return make_context(claim, [], {})


def next_attempt(job, claim):
    settle("default", [ended(claim, Retried(ERROR, 0))])
    return claim_one(fresh(job))


def test_data_is_empty_at_first_without_a_look(django_assert_num_queries):
    _, claim = running()
    with django_assert_num_queries(0):
        assert context_of(claim).data == {}


def test_what_was_saved_is_stored_and_found_by_a_later_attempt():
    job, claim = running(max_attempts=2)
    context = context_of(claim)
    context.save({"page": 3, "seen": ["é"]})
    assert fresh(job).data == context.data == {"page": 3, "seen": ["é"]}
    assert context_of(next_attempt(job, claim)).data == {"page": 3, "seen": ["é"]}


def test_the_last_save_replaces_the_one_before():
    job, claim = running(max_attempts=2)
    context_of(claim).save({"a": 1})
    context_of(claim).save({"b": 2})
    assert fresh(job).data == {"b": 2}
    context_of(next_attempt(job, claim)).save({})
    assert fresh(job).data == {}


def test_data_can_be_changed_and_saved_again():
    job, claim = running()
    context = context_of(claim)
    context.data["page"] = 1
    assert fresh(job).data == {}
    context.save(context.data)
    context.data["page"] = 2
    assert fresh(job).data == {"page": 1}
    context.save(context.data)
    assert fresh(job).data == {"page": 2}


def test_a_job_that_is_retried_by_hand_keeps_its_data():
    job, claim = running()
    context_of(claim).save({"page": 3})
    settle("default", [ended(claim, Failed(ERROR))])
    retry(job)
    assert context_of(claim_one(fresh(job))).data == {"page": 3}


@pytest.mark.django_db(transaction=True)
def test_an_async_body_saves_and_finds_it_too():
    job, claim = running(max_attempts=2)

    async def body(context):
        found = await context.adata()
        await context.asave({**found, "page": found.get("page", 0) + 1})
        return context.data

    assert async_to_sync(body)(context_of(claim)) == {"page": 1}
    assert async_to_sync(body)(context_of(next_attempt(job, claim))) == {"page": 2}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1], r"save\(\) of job samples.note needs a dict, not \[1\]"),
        (None, "needs a dict, not None"),
        ({1: 2}, "data has the key 1, but JSON keys are text"),
        ({"a": {"b": {1}}}, r"data\['a'\]\['b'\] is \{1\}, which cannot travel as JSON"),
        ({"a": float("nan")}, r"data\['a'\] is nan"),
        ({"a": "\0"}, r"data\['a'\] holds a NUL character"),
        ({"a": "\ud800"}, r"data\['a'\] holds a lone surrogate"),
    ],
)
def test_what_is_no_data_is_told_and_nothing_is_saved(data, message):
    job, claim = running()
    context = context_of(claim)
    context.save({"kept": True})
    with pytest.raises(InvalidArguments, match=message):
        context.save(data)
    assert fresh(job).data == context.data == {"kept": True}


def test_data_has_a_largest_size_in_bytes(settings):
    settings.DJANGO_JOBS = {**settings.DJANGO_JOBS, "MAX_DATA_BYTES": 20}
    job, claim = running()
    context_of(claim).save({"a": "é" * 6})
    with pytest.raises(PayloadTooLarge, match=r"The data takes 22 bytes as JSON, and 20 are allowed.*MAX_DATA_BYTES"):
        context_of(claim).save({"a": "é" * 7})
    assert fresh(job).data == {"a": "é" * 6}


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_it_is_stored_with_that_or_not_at_all():
    job, claim = running()
    context = context_of(claim)
    with transaction.atomic():
        context.save({"page": 1})
    assert fresh(job).data == {"page": 1}
    with transaction.atomic():
        context.save({"page": 2})
        transaction.set_rollback(True)
    assert fresh(job).data == context.data == {"page": 1}


def look_inside(context, page, *, fails=True):
    """Save in a transaction, look at what was saved there, and undo it."""
    with suppress(LookupError), transaction.atomic():
        context.save({"page": page})
        assert context.data == {"page": page}
        if fails:
            raise LookupError


@pytest.mark.django_db(transaction=True)
def test_what_was_seen_inside_a_transaction_that_is_undone_is_not_believed_afterwards():
    job, claim = running()
    context = context_of(claim)
    look_inside(context, 1)
    assert fresh(job).data == context.data == {}
    context.save({"page": 2})
    look_inside(context, 3)
    assert fresh(job).data == context.data == {"page": 2}
    look_inside(context, 4, fails=False)
    assert fresh(job).data == context.data == {"page": 4}


@pytest.mark.django_db(transaction=True)
def test_what_an_inner_block_has_undone_is_not_believed_in_the_outer_one():
    job, claim = running()
    context = context_of(claim)
    with transaction.atomic():
        context.save({"page": 1})
        look_inside(context, 2)
        assert context.data == {"page": 1}
        look_inside(context, 3, fails=False)
        assert context.data == {"page": 3}
    assert fresh(job).data == context.data == {"page": 3}


@pytest.mark.django_db(transaction=True)
def test_a_savepoint_or_a_rollback_by_hand_undoes_it_too():
    job, claim = running()
    context = context_of(claim)
    context.save({"page": 1})
    with transaction.atomic():
        savepoint = str(connection.savepoint())
        context.save({"page": 2})
        assert context.data == {"page": 2}
        connection.savepoint_rollback(savepoint)
        assert context.data == {"page": 1}
    transaction.set_autocommit(False)
    try:
        context.save({"page": 3})
        assert context.data == {"page": 3}
        transaction.rollback()
        # SQLite makes a transaction of its own of every block then: it is stored all the same.
        assert fresh(job).data == context.data == {"page": 3 if connection.vendor == "sqlite" else 1}
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


@pytest.mark.django_db(transaction=True)
def test_an_async_body_does_not_believe_it_either():
    job, claim = running()
    context = context_of(claim)

    async def body():
        await sync_to_async(look_inside)(context, 1)
        undone = await context.adata()
        await context.asave({"page": 2})
        await sync_to_async(look_inside)(context, 3)
        kept = await context.adata()
        await sync_to_async(look_inside)(context, 4, fails=False)
        return undone, kept, await context.adata(), context.data

    assert async_to_sync(body)() == ({}, {"page": 2}, {"page": 4}, {"page": 4})
    assert fresh(job).data == {"page": 4}


@pytest.mark.django_db(transaction=True)
def test_a_change_inside_a_transaction_is_kept_until_it_is_saved_there():
    job, claim = running()
    context = context_of(claim)
    with transaction.atomic():
        context.save({"page": 1})
        context.data["page"] = 2
        assert context.data == {"page": 2}
        context.save(context.data)
    assert fresh(job).data == context.data == {"page": 2}


@pytest.mark.django_db(transaction=True)
def test_what_is_surely_stored_is_not_looked_for_again(django_assert_num_queries):
    _, claim = running()
    context = context_of(claim)
    with transaction.atomic():
        context.save({"page": 1})
    with django_assert_num_queries(1):
        assert context.data == context.data == {"page": 1}
    context.save({"page": 2})
    with django_assert_num_queries(0):
        assert context.data == {"page": 2}


def test_who_lost_the_job_saves_nothing_and_is_told():
    job, claim = running()
    take_away(claim)
    with pytest.raises(ClaimLost, match="was taken from this worker"):
        context_of(claim).save({"old": True})
    new = claim_one(fresh(job))
    with pytest.raises(ClaimLost):
        context_of(claim).save({"old": True})
    assert not SavedData.objects.exists()
    context_of(new).save({"new": True})
    with pytest.raises(ClaimLost):
        context_of(claim).save({"old": True})
    assert fresh(job).data == {"new": True}


def test_a_refused_save_leaves_the_transaction_around_it_usable():
    job, claim = running()
    take_away(claim)
    with transaction.atomic():
        with pytest.raises(ClaimLost):
            context_of(claim).save({"old": True})
        assert fresh(job).data == {}


def test_a_job_that_is_gone_leaves_no_data_behind():
    job, claim = running()
    context_of(claim).save({"a": 1})
    settle("default", [ended(claim, Succeeded())])
    remove(job)
    with pytest.raises(ClaimLost):
        context_of(claim).save({"a": 2})
    assert not SavedData.objects.exists()
