"""Redis that dies, forgets, remembers what is long past, refuses, or is hardly reached. The table is the truth."""

import os
import random
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from redis import Redis, RedisError

from django_jobs.definitions.rank import rank
from django_jobs.errors import TransportError
from django_jobs.transports import Bell, get_transport
from tests.acceptance.faults.scene import LIMIT, Scene, fault
from tests.acceptance.faults.stage import PREFIX
from tests.rows import now
from tests.waiting import wait_until

AWAY = (0.2, 0.5, 1.0)


@contextmanager
def configured(scene: Scene, **options: str) -> Iterator[None]:
    """Let the server run with other settings inside the block."""
    with scene.stage.client() as client:
        before = {name: client.config_get(name)[name] for name in options}
        for name, value in options.items():
            client.config_set(name, value)
    try:
        yield
    finally:
        with scene.stage.client() as client:
            for name, value in before.items():
                client.config_set(name, value)


@fault()
def redis_killed(scene: Scene) -> None:
    """SIGKILL and a new start, empty, while jobs come in."""
    scene.until_running()
    scene.stage.redis.kill()
    scene.go_on(scene.chance.choice(AWAY))
    scene.stage.redis.start()


@fault()
def redis_flushed(scene: Scene) -> None:
    """FLUSHALL, twice within seconds."""
    scene.times = 2
    scene.until_running()
    with scene.stage.client() as client:
        client.flushall()
        scene.go_on(0.1)
        client.flushall()
    scene.go_on(0.1)


@fault()
def redis_scripts_flushed(scene: Scene) -> None:
    """SCRIPT FLUSH: the server has forgotten the script that it is asked to run."""
    scene.until_running()
    with scene.stage.client() as client:
        client.script_flush()
    scene.go_on(0.1)


@fault()
def redis_old_copy(scene: Scene) -> None:
    """A copy from a while ago takes over: what was taken since is there again, and what was rung since is not."""
    with scene.stage.client() as client:
        copy = {key: client.dump(key) for key in client.scan_iter(f"{{{PREFIX}:1}}:*")}
        scene.load.enqueue(10)
        scene.until_some_ended(10)
        client.flushall()
        for key, value in copy.items():
            if value is not None:
                client.restore(key, 0, value, replace=True)
                if b":batch:" in key:
                    client.expire(key, 3600)


@fault()
def redis_read_only(scene: Scene) -> None:
    """It has become somebody's replica: whoever writes is told READONLY."""
    with scene.stage.client() as client:
        client.config_set("replica-serve-stale-data", "yes")
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        scene.go_on(scene.chance.choice(AWAY))
        client.execute_command("REPLICAOF", "NO", "ONE")


@fault()
def redis_full(scene: Scene) -> None:
    """It may not take more memory and says OOM."""
    with configured(scene, **{"maxmemory": "1", "maxmemory-policy": "noeviction"}):
        scene.go_on(scene.chance.choice(AWAY))


@fault()
def redis_evicting(scene: Scene) -> None:
    """It drops keys of its own choice, for it was told to."""
    with configured(scene, **{"maxmemory": "1", "maxmemory-policy": "allkeys-lru"}):
        scene.go_on(scene.chance.choice(AWAY))


@fault()
def redis_without_disk(scene: Scene) -> None:
    """It cannot save and says MISCONF to whoever writes."""
    # The folder that it stands in; it may not be told to stand in another one.
    shutil.rmtree(scene.stage.redis.data)
    with scene.stage.client() as client, configured(scene, save="3600 1"):
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        scene.go_on(scene.chance.choice(AWAY))
    scene.stage.redis.data.mkdir()


@fault()
def redis_busy(scene: Scene) -> None:
    """Somebody's script does not end: all others are told BUSY."""
    with configured(scene, **{"busy-reply-threshold": "50"}), scene.stage.client() as client:
        endless = threading.Thread(target=_run_endless_script, args=(scene.stage.client(),))
        endless.start()
        scene.go_on(scene.chance.choice(AWAY))
        wait_until(lambda: _is_killed(client))
        endless.join()


def _run_endless_script(client: Redis) -> None:
    with client, suppress(RedisError):
        client.eval("while true do end", 0)


def _is_killed(client: Redis) -> bool:
    try:
        client.script_kill()
    except RedisError as error:
        return "NOTBUSY" in str(error)
    return False


@fault()
def redis_without_connections(scene: Scene) -> None:
    """It has as many clients as it may have, and all of ours are shown out."""
    with scene.stage.client() as client:
        client.config_set("maxclients", "1")
        _show_out_all_others(client)
        scene.go_on(scene.chance.choice(AWAY))
        client.config_set("maxclients", "1000")


@fault()
def redis_wants_a_password(scene: Scene) -> None:
    """Somebody has set a password that nobody was told."""
    with scene.stage.client() as client:
        client.config_set("requirepass", "unknown")
        client.execute_command("AUTH", "unknown")
        _show_out_all_others(client)
        scene.go_on(scene.chance.choice(AWAY))
        client.config_set("requirepass", "")


def _show_out_all_others(client: Redis) -> None:
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@fault()
def redis_loading(scene: Scene) -> None:
    """It answers that it is still loading its data."""
    proxy = scene.stage.redis_proxy
    proxy.answer = b"-LOADING Redis is loading the dataset in memory\r\n"
    proxy.reset()
    scene.go_on(scene.chance.choice(AWAY))
    proxy.heal()
    proxy.reset()


@fault()
def redis_paused(scene: Scene) -> None:
    """SIGSTOP: connections stay open and nothing answers."""
    process = scene.stage.redis.process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        scene.go_on(1.5 * LIMIT)
    finally:
        os.kill(process.pid, signal.SIGCONT)


@fault()
def redis_slow(scene: Scene) -> None:
    """Everything takes 50 ms more on its way."""
    scene.stage.redis_proxy.delay = 0.05
    scene.go_on(scene.chance.choice(AWAY))
    scene.stage.redis_proxy.heal()


@fault()
def redis_connections_reset(scene: Scene) -> None:
    """All connections end in the middle of whatever they carry, several times."""
    for _ in range(3):
        scene.go_on(0.1)
        scene.stage.redis_proxy.reset()


@fault()
def redis_connections_half_closed(scene: Scene) -> None:
    """The server's way to the clients closes; what they say would still arrive."""
    scene.until_running()
    scene.stage.redis_proxy.half_close()
    scene.go_on(0.3)


@fault()
def redis_half_open(scene: Scene) -> None:
    """Nothing comes through any more, and nobody is told."""
    scene.stage.redis_proxy.stall()
    scene.go_on(1.5 * LIMIT)
    scene.stage.redis_proxy.heal()


@fault()
def bells_replayed(scene: Scene) -> None:
    """Every id is rung many times, in any order, with wrong ranks, while its job waits, runs or is over."""
    chance = scene.chance
    for _ in range(4):
        scene.load.enqueue(4)
        ids = [job.pk for job in scene.load.jobs()]
        _ring([Bell(chance.choice(ids), "default", _any_rank(chance)) for _ in range(20 * len(ids))])
        scene.until_some_ended()


def _ring(bells: list[Bell]) -> None:
    """Ring, as soon as the transport is tried again after an earlier fault."""

    def is_rung() -> bool:
        try:
            get_transport().announce(bells)
        except TransportError:
            return False
        return True

    wait_until(is_rung)


def _any_rank(chance: random.Random) -> int:
    return rank(chance.randint(-100, 100), chance.random() < 0.5, now())


@fault()
def redis_filled_with_rubbish(scene: Scene) -> None:
    """Ids of no job, members that are no ids, and a value of the wrong type where a list belongs."""
    start = f"{{{PREFIX}:1}}:"
    _ring([Bell(uuid4(), "default", rank(0, False, now())) for _ in range(500)])
    with scene.stage.client() as client:
        members = {scene.chance.randbytes(length): rank(0, False, now()) for length in (1, 15, 17, 3000)}
        client.zadd(f"{start}queue:default", members)
        client.delete(f"{start}wake:default")
        client.set(f"{start}wake:default", "rubbish")
        scene.go_on(0.5)
        client.delete(f"{start}wake:default")
