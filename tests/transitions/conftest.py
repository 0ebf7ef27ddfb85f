"""Bells are rung into a record: no test here needs a server for them."""

from tests.bells import transport

__all__ = ["transport"]
