"""What many measurements say together: medians and ranges."""

from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of some repeats, and their range."""

    median: float
    low: float
    high: float


class Summary:
    """The results of a run, asked for by system and workload."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.results = results
        self._measurements: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for each in results["measurements"]:
            if not each["error"]:
                self._measurements.setdefault((each["system"], each["workload"]), []).append(each)

    def figure(self, system: str, workload: str, detail: str | None = None) -> Figure | None:
        """Return the workload's own value, or a detail of it; None where it was not measured."""
        found = self._measurements.get((system, workload), [])
        values = [each["value"] if detail is None else each["details"].get(detail) for each in found]
        numbers = [value for value in values if value is not None]
        return Figure(median(numbers), min(numbers), max(numbers)) if numbers else None

    def value(self, system: str, workload: str, detail: str | None = None) -> float | None:
        found = self.figure(system, workload, detail)
        return None if found is None else found.median

    def details(self, system: str, workload: str) -> dict[str, float]:
        """Return all details of the first measurement of a workload; empty where it was not measured."""
        found = self._measurements.get((system, workload), [])
        return dict(found[0]["details"]) if found else {}

    def best_drain(self, system: str, processes: int) -> tuple[str, Figure] | None:
        """Return the concurrency at which a system drained fastest, as a workload's key, and how fast that was."""
        prefix = f"drain-{processes}x"
        found = {
            key: figure
            for name, key in self._measurements
            if name == system and key.startswith(prefix) and (figure := self.figure(system, key))
        }
        return max(found.items(), key=lambda each: each[1].median, default=None)

    def jobs(self, system: str) -> int | None:
        """Return how many jobs a system drained at a time."""
        best = self.best_drain(system, 1)
        count = None if best is None else self.value(system, best[0], "jobs")
        return None if count is None else int(count)

    def errors(self) -> list[tuple[str, str, str]]:
        return [
            (each["system"], each["workload"], each["error"]) for each in self.results["measurements"] if each["error"]
        ]
