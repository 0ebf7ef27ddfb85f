"""Bells are rung into a record: no test here needs a server for them."""

from tests.bells import transport
from tests.worker.clocks import moved_clock

__all__ = ["moved_clock", "transport"]
