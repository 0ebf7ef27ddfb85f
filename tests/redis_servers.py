"""Redis as it is run in production, private and on the loopback interface: encrypted, with users, with sentinels, as a
Cluster."""

import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import redis

from tests.servers import Redis, binary, free_port
from tests.waiting import wait_until

USER, SECRET = "alice", "open/sesame#1"
SERVICE = "bells"

OPENSSL = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[party]
subjectAltName = IP:127.0.0.1
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


class RedisWithOptions(Redis):
    """A server with more options than the plain one."""

    def __init__(self, *options: str) -> None:
        super().__init__()
        self.options = options

    def command(self) -> Sequence[str]:
        # At its end a primary would wait for replicas that have gone before.
        return (*super().command(), "--shutdown-timeout", "0", *self.options)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port)

    def version(self) -> Any:
        with self.client() as client:
            return client.info("server")["redis_version"]


class EncryptedRedis(Redis):
    """Knows one user. Over the network it speaks TLS, with those who have a certificate; on a socket with all."""

    def prepare(self) -> Sequence[str]:
        make_certificates(self.folder, "server", "client")
        return super().prepare()

    def command(self) -> Sequence[str]:
        files = {"cert": "server.crt", "key": "server.key", "ca-cert": "ca.crt"}
        return (
            *super().command(),
            *("--port", "0", "--tls-port", str(self.port), "--unixsocket", str(self.folder / "socket")),
            *(word for name, file in files.items() for word in (f"--tls-{name}-file", str(self.folder / file))),
            *("--user", "default", "off", "--user", USER, "on", f">{SECRET}", "~{test:1}:*", "+@all", "-@dangerous"),
            # For `describe`.
            "+info",
        )

    def probe(self) -> Sequence[str]:
        files = ("--tls", "--cacert", "ca.crt", "--cert", "client.crt", "--key", "client.key")
        paths = [str(self.folder / word) if "." in word else word for word in files]
        return (*super().probe()[:-1], *paths, "--user", USER, "--pass", SECRET, "ping")

    @property
    def socket_address(self) -> str:
        return f"unix://{USER}:{quote(SECRET, safe='')}@{self.folder}/socket"

    def address(self, password: str = SECRET, **options: str) -> str:
        files = {"ssl_ca_certs": "ca.crt", "ssl_certfile": "client.crt", "ssl_keyfile": "client.key"}
        query = urlencode({name: str(self.folder / file) for name, file in files.items()} | options)
        return f"rediss://{USER}:{quote(password, safe='')}@127.0.0.1:{self.port}/0?{query}"


class Sentinel(Redis):
    """Watches a primary, and has a replica take its place when it is silent for half a second."""

    def __init__(self, primary: Redis, quorum: int) -> None:
        super().__init__()
        self.primary, self.quorum = primary, quorum

    def command(self) -> Sequence[str]:
        file = self.data / "sentinel.conf"
        file.write_text(
            f"bind 127.0.0.1\nport {self.port}\ndir {self.data}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.primary.port} {self.quorum}\n"
            f"sentinel down-after-milliseconds {SERVICE} 500\nsentinel failover-timeout {SERVICE} 5000\n"
        )
        return (binary("redis-server"), str(file), "--sentinel")

    def facts(self) -> Any:
        with redis.Redis(port=self.port) as client:
            return client.sentinel_master(SERVICE)


class Watched:
    """A primary, its replica, and three sentinels of which two must agree."""

    def __init__(self, stack: ExitStack) -> None:
        self.primary = stack.enter_context(RedisWithOptions("--repl-diskless-sync-delay", "0"))
        following = ("--replicaof", "127.0.0.1", str(self.primary.port))
        self.replica = stack.enter_context(RedisWithOptions(*following))
        self.sentinels = [stack.enter_context(Sentinel(self.primary, 2)) for _ in range(3)]
        wait_until(self._is_in_order, what="sentinels and replica know each other")

    @property
    def hosts(self) -> list[tuple[str, int]]:
        return [("127.0.0.1", each.port) for each in self.sentinels]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'{host}:{port}' for host, port in self.hosts)}/{SERVICE}/0"

    def current(self) -> RedisWithOptions:
        """Return the one that is the primary now."""
        port = self.sentinels[0].facts()["port"]
        return self.primary if port == self.primary.port else self.replica

    def _is_in_order(self) -> bool:
        with self.replica.client() as client:
            if client.info("replication")["master_link_status"] != "up":
                return False
        facts = [each.facts() for each in self.sentinels]
        return all((each["num-other-sentinels"], each["num-slaves"]) == (2, 1) for each in facts)


class Cluster:
    """Three primaries, each with a third of the slots."""

    def __init__(self, stack: ExitStack) -> None:
        ports = [free_port() for _ in range(3)]
        options = [
            ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", str(port))
            for port in ports
        ]
        self.nodes = [stack.enter_context(RedisWithOptions(*each)) for each in options]
        for number, node in enumerate(self.nodes):
            first, last = number * 16384 // 3, (number + 1) * 16384 // 3 - 1
            with node.client() as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                for other, port in zip(self.nodes[:number], ports, strict=False):
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, port)
        wait_until(self.is_whole, what="all nodes know of all slots")

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{each.port}' for each in self.nodes)}"

    def is_whole(self) -> bool:
        return all(self._info(each) == ("ok", "16384", "3") for each in self.nodes)

    def owner(self, key: str) -> int:
        """Return the number of the node that has the slot of a key."""
        return next(number for number, node in enumerate(self.nodes) if self._has(node, key))

    def move(self, key: str, target: int, between: Callable[[], object] = lambda: None) -> None:
        """Move the slot of a key and all that is in it to another node, doing something when half of it is done."""
        giver, taker = self.nodes[self.owner(key)], self.nodes[target]
        with giver.client() as source, taker.client() as destination:
            slot = source.execute_command("CLUSTER", "KEYSLOT", key)
            names = [client.execute_command("CLUSTER", "MYID").decode() for client in (source, destination)]
            destination.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
            source.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
            between()
            while keys := source.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                source.execute_command("MIGRATE", "127.0.0.1", taker.port, "", 0, 5000, "KEYS", *keys)
            for client in (destination, source):
                client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[1])

    def _has(self, node: RedisWithOptions, key: str) -> bool:
        with node.client() as client:
            try:
                client.exists(key)
            except redis.exceptions.MovedError:
                return False
            return True

    def _info(self, node: RedisWithOptions) -> tuple[str, str, str]:
        with node.client() as client:
            info = client.execute_command("CLUSTER INFO")
        return info["cluster_state"], info["cluster_slots_ok"], info["cluster_known_nodes"]


def make_certificates(folder: Path, *names: str) -> None:
    """Write an authority, and certificates of it for 127.0.0.1, with their keys."""
    (folder / "openssl.cnf").write_text(OPENSSL)
    issued = ["-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"), "-extensions", "party"]
    for name, how in (("ca", ["-extensions", "authority"]), *((name, issued) for name in names)):
        subprocess.run(
            [
                *(binary("openssl"), "req", "-x509", "-config", str(folder / "openssl.cnf"), "-subj", f"/CN={name}"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", *how),
                *("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")),
            ],
            check=True,
            capture_output=True,
        )
