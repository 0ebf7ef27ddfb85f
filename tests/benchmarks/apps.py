"""Workers of Django peers know the bodies: the adapter is imported as soon as Django is ready."""

from importlib import import_module

from django.apps import AppConfig
from django.conf import settings


class BenchmarksConfig(AppConfig):
    name = "tests.benchmarks"
    label = "benchmarks"

    def ready(self) -> None:
        import_module(settings.PEER)
