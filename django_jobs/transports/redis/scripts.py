"""The Lua scripts, read from the package once."""

import functools
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError


def run(client: Redis, name: str, keys: Sequence[str], arguments: Sequence[int | str | bytes]) -> Any:
    """Run `lua/<name>.lua` in one round trip, or three on a server that does not know it yet, and return its reply."""
    text, digest = _script(name)
    try:
        return client.evalsha(digest, len(keys), *keys, *arguments)
    except NoScriptError:
        client.script_load(text)
        return client.evalsha(digest, len(keys), *keys, *arguments)


@functools.cache
def _script(name: str) -> tuple[str, str]:
    """Return its text, and the digest by which a server knows it."""
    text = (resources.files("django_jobs.transports.redis") / "lua" / f"{name}.lua").read_text("utf-8")
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
