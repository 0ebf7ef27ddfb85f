"""Metadata: a small flat dict, and nothing else."""

import pytest

from django_jobs import job
from django_jobs.definitions.metadata import MOST_BYTES, check_metadata
from django_jobs.errors import InvalidOption


@pytest.mark.parametrize(
    "metadata", [{}, {"customer": 42}, {"a.b:c-d_é": "x" * 200, "paid": True, "rate": 1.5, "empty": ""}], ids=repr
)
def test_text_numbers_and_bools_are_taken_as_they_are(metadata):
    assert check_metadata(metadata, "metadata") == metadata


@pytest.mark.parametrize(
    "metadata",
    [
        "customer=42",
        [("customer", 42)],
        {"": 1},
        {"a b": 1},
        {"x" * 51: 1},
        {1: 1},
        {"a=b": 1},
        {"a": None},
        {"a": [1]},
        {"a": {"b": 1}},
        {"a": float("nan")},
        {"a": float("inf")},
        {"a": "x" * 201},
        {"a": "\0"},
        {"a": "\ud800"},
        {"a": 10**200},
        {"a": b"x"},
    ],
    ids=ascii,
)
def test_what_cannot_be_looked_for_is_told(metadata):
    @job(name="metadata.plain")
    def plain(): ...

    with pytest.raises(InvalidOption, match=r"metadata.plain.using\(\): metadata"):
        plain.using(metadata=metadata)


def test_the_size_is_counted_in_bytes():
    facts = {f"key{number}": "é" * 110 for number in range(10)}
    with pytest.raises(InvalidOption, match=f"may take {MOST_BYTES:,}"):
        check_metadata(facts, "metadata")
    assert check_metadata(dict.fromkeys(facts, "e" * 110), "metadata")
