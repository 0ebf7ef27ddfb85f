"""What users import in their tests."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_jobs.testing.assertions import assert_enqueued, assert_nothing_enqueued, enqueued
    from django_jobs.testing.backends import DummyBackend, ImmediateBackend
    from django_jobs.testing.cases import JobsTestMixin
    from django_jobs.testing.clocks import FrozenClock
    from django_jobs.testing.draining import adrain, drain
    from django_jobs.testing.modes import captured, immediate

# Not before they are asked for: some need models, the backends on Django 5.2 a package that not everybody has, and the
# plugin of pytest is to cost nothing where it is not used.
_LAZY = {
    "DummyBackend": "backends",
    "FrozenClock": "clocks",
    "ImmediateBackend": "backends",
    "JobsTestMixin": "cases",
    "adrain": "draining",
    "assert_enqueued": "assertions",
    "assert_nothing_enqueued": "assertions",
    "captured": "modes",
    "drain": "draining",
    "enqueued": "assertions",
    "immediate": "modes",
}

__all__ = [
    "DummyBackend",
    "FrozenClock",
    "ImmediateBackend",
    "JobsTestMixin",
    "adrain",
    "assert_enqueued",
    "assert_nothing_enqueued",
    "captured",
    "drain",
    "enqueued",
    "immediate",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
