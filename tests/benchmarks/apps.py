"""Workers of Django peers know the bodies: the adapter is imported as soon as Django is ready."""

import os
from importlib import import_module

from django.apps import AppConfig


class BenchmarksConfig(AppConfig):
    name = "tests.benchmarks"
    label = "benchmarks"

    def ready(self) -> None:
        import_module(os.environ["BENCHMARK_PEER"])
