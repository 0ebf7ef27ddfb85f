"""A private PgBouncer in transaction mode before a PostgreSQL server."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.servers import Server, binary


class PgBouncer(Server):
    """Lends out `size` sessions of the server, each for one transaction: who keeps state in one finds it gone."""

    name = "pgbouncer"
    account = "postgres"

    def __init__(self, database: Mapping[str, Any], *, size: int) -> None:
        """Stand before the server of this entry of DATABASES."""
        super().__init__()
        self._database, self._size = database, size

    @property
    def url(self) -> str:
        return f"postgresql://{self._database['USER']}@127.0.0.1:{self.port}/{self._database['NAME']}"

    def prepare(self) -> Sequence[str]:
        self.data.mkdir()
        keys = {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password"}
        there = " ".join(f"{key}='{self._database[name]}'" for name, key in keys.items() if self._database[name])
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": self._size,
            "max_client_conn": 200,
        }
        lines = [
            "[databases]",
            f"* = {there}",
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in settings.items()),
        ]
        (self.data / "pgbouncer.ini").write_text("\n".join([*lines, ""]))
        return ()

    def command(self) -> Sequence[str]:
        return (binary("pgbouncer"), str(self.data / "pgbouncer.ini"))

    def probe(self) -> Sequence[str]:
        return (binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", self._database["USER"])
