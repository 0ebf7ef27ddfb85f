"""The benchmark suite: `python -m tests.benchmarks`. What it measures and how to read it: docs/benchmarks.md."""
