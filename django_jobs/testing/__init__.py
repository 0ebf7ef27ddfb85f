"""What users import in their tests."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_jobs.testing.backends import DummyBackend, ImmediateBackend

__all__ = ["DummyBackend", "ImmediateBackend"]


def __getattr__(name: str) -> Any:
    # Not before they are asked for: on Django 5.2 they need a package that not everybody has.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("django_jobs.testing.backends"), name)
