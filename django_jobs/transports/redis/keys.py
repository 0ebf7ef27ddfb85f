"""The names of all keys, and what each holds."""

from uuid import UUID

PROTOCOL_VERSION = 1


class Keys:
    """Name the keys of one project on its server. The braces put all of them into one slot of a Cluster."""

    def __init__(self, prefix: str) -> None:
        self._start = f"{{{prefix}:{PROTOCOL_VERSION}}}:"
        # Text, there once the whole table was rung; missing: the server has lost its memory.
        self.epoch = f"{self._start}epoch"

    def queue(self, name: str) -> str:
        """Sorted set: the 16 bytes of every id that was rung, scored by rank."""
        return f"{self._start}queue:{name}"

    def wake(self, name: str) -> str:
        """List of at most one marker: somebody should look into this queue."""
        return f"{self._start}wake:{name}"

    def process_wake(self, process: UUID) -> str:
        """List of at most one marker, for the waiting thread of one process."""
        return f"{self._start}wake-process:{process.hex}"

    def batch(self, taker: UUID) -> str:
        """List of a taker's last answer: its number, then queue name, id and rank of each."""
        return f"{self._start}batch:{taker.hex}"

    def holds(self, key: str) -> str:
        """Return the type, in Redis's words, that `key` must have."""
        return "zset" if key.startswith(self.queue("")) else "string" if key == self.epoch else "list"
