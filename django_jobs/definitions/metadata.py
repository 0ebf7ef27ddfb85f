"""Metadata: a few facts about a job by which people look for it."""

import json
import math
import re
from collections.abc import Mapping

from django_jobs.errors import InvalidOption

Fact = str | int | float | bool

KEY = re.compile(r"[\w.:-]{1,50}")
LONGEST_TEXT = 200
MOST_BYTES = 2_000


def check_metadata(value: object, what: str) -> dict[str, Fact]:
    """Return a flat dict of text, numbers and bools. Raises InvalidOption."""
    if not isinstance(value, Mapping):
        raise InvalidOption(f"{what} must be a dict, not {value!r}.")
    for key, fact in value.items():
        if not isinstance(key, str) or not KEY.fullmatch(key):
            raise InvalidOption(f"{what} has the key {key!r}; keys are 1 to 50 letters, digits or _ . : -.")
        _check(fact, f"{what}[{key!r}]")
    size = len(metadata_text(value).encode())
    if size > MOST_BYTES:
        raise InvalidOption(f"{what} takes {size:,} bytes as JSON; it may take {MOST_BYTES:,}.")
    return dict(value)


def metadata_text(metadata: Mapping[str, Fact]) -> str:
    """Return what the row keeps."""
    return json.dumps(metadata, ensure_ascii=False, separators=(",", ":"))


def as_text(fact: Fact) -> str:
    """Return a fact as it is looked for: people who search type text."""
    return fact if isinstance(fact, str) else json.dumps(fact)


def _check(fact: object, what: str) -> None:
    if isinstance(fact, str):
        if len(fact) > LONGEST_TEXT or "\0" in fact:
            raise InvalidOption(f"{what} must be at most {LONGEST_TEXT} characters without NUL, not {fact!r}.")
        try:
            fact.encode()
        except UnicodeEncodeError:
            raise InvalidOption(f"{what} holds a lone surrogate, which is no text: {fact!r}.") from None
    elif isinstance(fact, int):
        if len(str(int(fact))) > LONGEST_TEXT:
            raise InvalidOption(f"{what} has more than {LONGEST_TEXT} digits.")
    elif not isinstance(fact, float) or not math.isfinite(fact):
        raise InvalidOption(f"{what} must be text, a finite number or a bool, not {fact!r}.")
