"""The bell: says what may start now and in which order. It carries ids, never arguments, and is never the truth."""

from django_jobs.transports.base import Bell, ServerFacts, Taken, Transport
from django_jobs.transports.current import close_transports, get_transport

__all__ = ["Bell", "ServerFacts", "Taken", "Transport", "close_transports", "get_transport"]
